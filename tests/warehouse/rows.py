"""Small lakes to ask things of: rows with the real identities, written in one line each."""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from schemas import identity
from schemas.records import TABLES
from schemas.settings import WarehouseSettings
from warehouse import Warehouse

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIS, RECIPE, SEEDS = "tis", "recipe", (0, 1)
LOOKS, LIKED, HELD = "looks", "liked", "held"
READS = {"tis_id": TIS, "seeds": SEEDS, "aesthetics_id": LOOKS, "preference_id": LIKED}


def table(name: str, rows: Iterable[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=TABLES[name][0])


def open_lake(home: Path, read_only: bool = False, **settings: Any) -> Warehouse:
    return Warehouse.open(WarehouseSettings(threads=1, **settings), home, read_only=read_only)


def prompts(texts: Iterable[str]) -> pa.Table:
    return table(
        "raw_prompts",
        (
            {
                "raw_prompt_id": identity.raw_prompt_id(text),
                "text": text,
                "language": "en",
                "split": identity.split_of(identity.raw_prompt_id(text)),
                "minhash": [],
                "collected_at": NOW,
            }
            for text in texts
        ),
    )


def occurrences(texts: Iterable[str], source: str = "source") -> pa.Table:
    return table(
        "occurrences",
        (
            {
                "occurrence_id": identity.occurrence_id(source, line, text),
                "source_id": source,
                "line": line,
                "raw_prompt_id": identity.raw_prompt_id(text),
                "licence": "CC0-1.0",
                "collected_at": NOW,
            }
            for line, text in enumerate(texts, 1)
        ),
    )


def collect(lake: Warehouse, texts: Sequence[str], source: str = "source") -> None:
    lake.append("raw_prompts", prompts(texts))
    lake.append("occurrences", occurrences(texts, source))


def triple(raw: str, instruction: str, target: str, kind: str = "add", **more: Any) -> dict:
    call = identity.content_id("test", raw, instruction, target)
    root = identity.raw_prompt_id(more.pop("root", raw))
    return {
        "triple_id": identity.triple_id(call, 0),
        "call_id": call,
        "recipe_id": RECIPE,
        "raw_prompt_id": root,
        "turn": 1,
        "raw_prompt": raw,
        "instruction": instruction,
        "edit_kind": kind,
        "target_prompt": target,
        "intent": f"a picture of {target}",
        "units": [{"role": "add", "text": target}],
        "units_source": "teacher",
        "violations": [],
        "minhash": [],
        "split": identity.split_of(root),
        "created_at": NOW,
    } | more


def triples(*rows: dict) -> pa.Table:
    return table("triples", rows)


def call(raw: str, status: str = "ok", attempt: int = 1, build: str = "b", **more: Any) -> dict:
    name = identity.content_id("call", raw)
    return {
        "attempt_id": identity.content_id("attempt", name, attempt),
        "call_id": name,
        "recipe_id": RECIPE,
        "raw_prompt_id": identity.raw_prompt_id(raw),
        "subject": raw,
        "sample_index": 0,
        "attempt": attempt,
        "build_id": build,
        "status": status,
        "answer": f"answer about {raw}" if status == "ok" else None,
        "called_at": NOW,
    } | more


SCORERS = table(
    "scorers",
    (
        {"scorer_id": LOOKS, "name": "looks", "measures": "aesthetics", "reads_intent": False},
        {"scorer_id": LIKED, "name": "liked", "measures": "preference", "reads_intent": True},
        {"scorer_id": HELD, "name": "held", "measures": "held_out", "reads_intent": False},
    ),
)


def render_all(lake: Warehouse, pictures: bool = False) -> int:
    """Render every to-do; returns how many there were."""
    todo = lake.todo("render", tis_id=TIS, seeds=SEEDS).to_pylist()
    rows = [
        {
            "render_id": identity.render_id(row["prompt"], TIS, row["seed"]),
            "status": "ok",
            "image_sha256": lake.images.put(png(row["prompt"], row["seed"])) if pictures else "0",
            "rendered_at": NOW,
        }
        | row
        for row in todo
    ]
    return lake.append("renders", table("renders", rows))


def score_all(lake: Warehouse, value: Any, scorers: Sequence[str] = (LOOKS, LIKED)) -> int:
    """Score every to-do with `value(prompt, scorer)`; returns how many there were."""
    lake.append("scorers", SCORERS)
    rows = []
    for row in lake.todo("score", tis_id=TIS, seeds=SEEDS, scorer_ids=scorers).to_pylist():
        rows.append(
            {
                "score_id": identity.score_id(row["render_id"], row["scorer_id"], row["intent"]),
                "render_id": row["render_id"],
                "scorer_id": row["scorer_id"],
                "intent": row["intent"],
                "value": value(row["prompt"], row["scorer_id"]),
                "status": "ok",
                "attempt": row["attempt"],
                "scored_at": NOW,
            }
        )
    return lake.append("scores", table("scores", rows))


def png(text: str, seed: int = 0) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    colour = tuple(hash((text, seed)) >> shift & 255 for shift in (0, 8, 16))
    Image.new("RGB", (8, 8), colour).save(buffer, "PNG")
    return buffer.getvalue()


def published(lake: Warehouse) -> int:
    """A version with three accepted triples of three raw prompts, decided by text."""
    from schemas.settings import DecideSettings

    names = ("a cat", "a dog", "an old house")
    collect(lake, names)
    lake.append("triples", triples(*(triple(n, f"add a hat to {n}", f"{n} + hat") for n in names)))
    return lake.publish(lake.decide(DecideSettings()))
