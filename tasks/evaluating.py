"""Evaluate: pictures and scores of what methods wrote for cases, each wanted − have.

Pictures and scores are the rows of `renders` and `scores` that builds use, so what was rendered
once is never rendered again, whoever asked for it.
"""

from functools import lru_cache
from typing import Any

import pyarrow as pa
from prefect import task

from models.evaluation.editing import Editor
from models.evaluation.hacking import TRAITS_REVISION, trait_id, traits
from models.evaluation.methods import Method, edit_parts
from models.evaluation.metrics import TRAITS
from schemas.errors import DiffChatError
from schemas.evaluation import MethodSettings
from schemas.records import EVALUATION_CASES, RENDERS, SCORES
from schemas.settings import TisSettings, home, load_settings
from tasks.evaluation_plan import (
    EvaluationPlan,
    EvaluationRun,
    evaluation_plan,
    evaluation_run,
    picture_todos,
    score_arguments,
)
from tasks.opening import tis_row
from tasks.plan import lake_of, now, one_row
from tasks.progress import stage
from tasks.rendering import png, render_rows
from tasks.rendering import record_of as render_record
from tasks.scoring import opened, score_rows
from tasks.scoring import record_of as score_record
from tasks.shards import Row, work_off
from warehouse import Warehouse

RENDERS_A_COMMIT = 256
SCORES_A_COMMIT = 1_024


@task(name="resolve-evaluation", persist_result=False)
def resolve_evaluation(
    profile: str, overrides: dict[str, Any] | None, models: tuple[str, ...], cases: str | None
) -> EvaluationRun:
    """Settings as they are now, on this machine; later tasks get them as they were resolved."""
    return evaluation_run(load_settings(profile, overrides), home(), models, cases)


@task(name="open-evaluation", persist_result=False)
def open_evaluation(run: EvaluationRun) -> int:
    """Append cases, text-to-image models and scorers; returns the number of methods."""
    lake, plan = lake_of(run), evaluation_plan(run)
    tables = {"evaluation_cases": pa.Table.from_pylist(list(plan.cases), schema=EVALUATION_CASES)}
    lake.append_all(tables)
    for tis in plan.tis:
        lake.append("tis_models", tis_row(tis))
    for scorer in plan.scorers:
        lake.append("scorers", one_row("scorers", **scorer._asdict(), created_at=now()))
    for name in TRAITS:
        row = {"scorer_id": trait_id(name), "name": f"trait:{name}", "weights_hash": "",
               "revision": TRAITS_REVISION, "measures": "trait", "reads_intent": False}  # fmt: skip
        lake.append("scorers", one_row("scorers", **row, created_at=now()))
    return len(plan.methods)


@task(name="picture", persist_result=False, task_run_name="picture-{index}")
def picture(run: EvaluationRun, index: int) -> int:
    """Render what the methods wrote under one text-to-image model, or edit; returns a count."""
    lake, plan = lake_of(run), evaluation_plan(run)
    canvas, _ = plan.canvases()[index]

    def work(rows: list[Row]) -> int:
        if index < len(plan.tis):
            return _render(lake, plan.tis_settings[index], canvas, rows)
        return _edit(lake, plan, plan.edits[index - len(plan.tis)], canvas, rows)

    def todo() -> list[Row]:
        rows = [r for name, asked in picture_todos(plan, index)
                for r in lake.todo(name, **asked).to_pylist()]  # fmt: skip
        return list({(row["prompt"], row["seed"]): row for row in rows}.values())

    return work_off(lake, "render", lambda row: row["prompt"], todo, work)


def _render(lake: Warehouse, settings: TisSettings, tis_id: str, rows: list[Row]) -> int:
    with stage("render", len(rows)) as advance:
        for start in range(0, len(rows), RENDERS_A_COMMIT):
            batch = rows[start : start + RENDERS_A_COMMIT]
            render_rows(lake, settings, tis_id, batch, advance)
    return len(rows)


@lru_cache(maxsize=1)
def loaded_editor(settings: str) -> Editor:
    """The editing pipeline of this process."""
    return Editor(MethodSettings.model_validate_json(settings))


RAW_PICTURES = """
SELECT prompt, seed, any_value(image_sha256) AS sha FROM renders
WHERE tis_id = $tis AND status = 'ok' AND list_contains($seeds::BIGINT[], seed)
    AND list_contains($prompts::VARCHAR[], prompt)
GROUP BY ALL
"""


def _edit(
    lake: Warehouse, plan: EvaluationPlan, method: Method, tis_id: str, rows: list[Row]
) -> int:
    """Edit the raw prompts' pictures of the same seeds; without one, the edit fails and says so."""
    editor, done = loaded_editor(method.settings.model_dump_json()), 0
    seeds = list(plan.run.settings.evaluation.seeds)
    wanted = {edit_parts(row["prompt"])[0] for row in rows}
    found = lake.query(
        RAW_PICTURES, {"tis": plan.tis[0].tis_id, "seeds": seeds, "prompts": sorted(wanted)}
    ).to_pylist()
    shas = {(row["prompt"], row["seed"]): row["sha"] for row in found}
    with stage("edit", len(rows)) as advance:
        for start in range(0, len(rows), editor.batch):
            batch = rows[start : start + editor.batch]
            records = _edit_batch(lake, editor, tis_id, batch, shas)
            done += lake.append("renders", pa.Table.from_pylist(records, schema=RENDERS))
            advance(len(batch))
    return done


def _edit_batch(
    lake: Warehouse, editor: Editor, tis_id: str, batch: list[Row], shas: dict[tuple[str, int], str]
) -> list[Row]:
    records, ready = [], []
    for row in batch:
        sha = shas.get((edit_parts(row["prompt"])[0], row["seed"]))
        if sha is None:
            records.append(
                render_record(row, tis_id, error="the raw prompt has no picture to edit")
            )
        else:
            ready.append((row, opened(lake, sha)))
    if not ready:
        return records
    try:
        images = editor.edit(
            [image for _, image in ready],
            [edit_parts(row["prompt"])[1] for row, _ in ready],
            [row["seed"] for row, _ in ready],
        )
    except DiffChatError as error:
        return records + [render_record(row, tis_id, error=str(error)) for row, _ in ready]
    for (row, _), image in zip(ready, images, strict=True):
        sha = lake.images.put(png(image))
        records.append(render_record(row, tis_id, image=image, sha256=sha))
    return records


@task(name="judge", persist_result=False, task_run_name="judge-{index}")
def judge(run: EvaluationRun, index: int) -> int:
    """Score the pictures of one canvas; returns the number of scores."""
    lake, plan = lake_of(run), evaluation_plan(run)
    arguments = score_arguments(plan, *plan.canvases()[index])
    return work_off(
        lake, "score", lambda row: row["render_id"],
        lambda: lake.todo("evaluation_score", **arguments).to_pylist(),
        lambda rows: _score(lake, plan, rows),
    )  # fmt: skip


def _score(lake: Warehouse, plan: EvaluationPlan, rows: list[Row]) -> int:
    names = {trait_id(name): name for name in TRAITS}
    by_model = [row for row in rows if row["scorer_id"] not in names]
    by_model.sort(key=lambda row: row["render_id"])  # a picture is opened once for all scorers
    with stage("score", len(rows)) as advance:
        for start in range(0, len(by_model), SCORES_A_COMMIT):
            batch = by_model[start : start + SCORES_A_COMMIT]
            score_rows(lake, plan.run.settings.scorers, plan.scorers, batch, advance)
        asked = [row for row in rows if row["scorer_id"] in names]
        records = _trait_records(lake, asked, names)
        lake.append("scores", pa.Table.from_pylist(records, schema=SCORES))
        advance(len(asked))
    return len(rows)


def _trait_records(lake: Warehouse, rows: list[Row], names: dict[str, str]) -> list[Row]:
    """Traits of pictures, each picture opened once."""
    known: dict[str, dict[str, float]] = {}
    records = []
    for row in sorted(rows, key=lambda row: row["render_id"]):
        if row["image_sha256"] not in known:
            known = {row["image_sha256"]: traits(opened(lake, row["image_sha256"]))}
        value = known[row["image_sha256"]][names[row["scorer_id"]]]
        records.append(score_record(row, value))
    return records
