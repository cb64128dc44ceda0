"""Score: renders × scorers (× intents, where a scorer reads them) − `scores`."""

import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import pyarrow as pa
from PIL import Image
from prefect import task

from models.scorers import Scorer, ScorerIdentity, load_scorer
from schemas.errors import DiffChatError
from schemas.identity import score_id
from schemas.records import SCORES
from schemas.settings import ScorerSettings
from tasks.plan import Plan, Run, now
from tasks.progress import stage
from tasks.shards import Row, until_done
from warehouse import Warehouse

IMAGES = 128  # scored at once, while as many are read; the scorer cuts them to its own batch
DECIMALS = 4  # an image rendered in another batch may differ by 1/255: rounded before stored


@lru_cache(maxsize=8)  # all of a profile: they take turns
def loaded_scorer(settings: str) -> Scorer:
    """A scorer of this process, kept between shards."""
    return load_scorer(ScorerSettings.model_validate_json(settings))


@task(name="score", persist_result=False, task_run_name="score-{shard}-of-{of}")
def score(run: Run, shard: int, of: int) -> int:
    """Score what one shard lacks; returns the number of scores."""
    return until_done(run, "score", shard, of, _score)


def _score(lake: Warehouse, plan: Plan, rows: list[Row]) -> int:
    with stage("score", len(rows)) as advance:
        return len(score_rows(lake, plan.settings.scorers, plan.scorers, rows, advance))


def score_rows(
    lake: Warehouse, settings: Sequence[ScorerSettings], scorers: Sequence[ScorerIdentity],
    rows: list[Row], advance: Callable[[int], None] | None = None,
) -> list[Row]:  # fmt: skip
    """Score (render_id, image_sha256, scorer_id, intent, attempt), whoever asks.

    `settings` are those of `scorers`, in their order.  An image is read once for all scorers and
    intents, while those before it are scored.  Commits once; returns rows of `scores`.
    """
    records, by_image = [], dict[str, list[Row]]()
    for row in rows:
        by_image.setdefault(row["image_sha256"], []).append(row)
    for images in _read_ahead(lake, list(by_image)):
        here = [row for name in images for row in by_image[name]]
        for identity, chosen in zip(scorers, settings, strict=True):
            asked = [row for row in here if row["scorer_id"] == identity.scorer_id]
            if asked:
                records += score_batch(loaded_scorer(chosen.model_dump_json()), asked, images)
            if advance is not None:
                advance(len(asked))
    lake.append("scores", pa.Table.from_pylist(records, schema=SCORES))
    return records


def opened(lake: Warehouse, sha256: str) -> Image.Image:
    """A stored picture in RGB.  Raises WarehouseError and OSError if it cannot be read."""
    return Image.open(io.BytesIO(lake.images.get(sha256))).convert("RGB")


def _read_ahead(lake: Warehouse, names: list[str]) -> Iterator[dict[str, Image.Image | str]]:
    """The pictures of `names`, `IMAGES` at a time; the next ones are read meanwhile."""

    def read(start: int) -> dict[str, Image.Image | str]:
        return {name: _readable(lake, name) for name in names[start : start + IMAGES]}

    with ThreadPoolExecutor(1, "pictures") as reader:
        coming = reader.submit(read, 0)
        for start in range(IMAGES, len(names) + IMAGES, IMAGES):
            images = coming.result()
            coming = reader.submit(read, start)
            yield images


def _readable(lake: Warehouse, sha256: str) -> Image.Image | str:
    """The picture, or why it cannot be read."""
    try:
        return opened(lake, sha256)
    except (DiffChatError, OSError) as error:
        return str(error)


def score_batch(
    scorer: Scorer, batch: list[Row], images: Mapping[str, Image.Image | str]
) -> list[Row]:
    """Rows of `scores`; an image that cannot be read is a failed row and harms no other."""
    failed, readable, pictures = [], [], []
    for row in batch:
        picture = images[row["image_sha256"]]
        if isinstance(picture, str):
            failed.append(record_of(row, None, picture))
        else:
            readable.append(row)
            pictures.append(picture)
    intents = [row["intent"] or "" for row in readable] if scorer.reads_intent else None
    values = scorer.score(pictures, intents) if pictures else []
    return failed + [record_of(row, float(v)) for row, v in zip(readable, values, strict=True)]


def record_of(row: Row, value: float | None, error: str | None = None) -> Row:
    if value is not None and not math.isfinite(value):
        value, error = None, f"the scorer returned {value}"
    return {
        "score_id": score_id(row["render_id"], row["scorer_id"], row["intent"]),
        "render_id": row["render_id"],
        "scorer_id": row["scorer_id"],
        "intent": row["intent"],
        "value": None if value is None else round(value, DECIMALS),
        "status": "failed" if value is None else "ok",
        "error": error,
        "attempt": row["attempt"],
        "scored_at": now(),
    }
