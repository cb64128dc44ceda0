"""Evaluate: answers, pictures and scores of methods on cases, each wanted − have.

Pictures and scores are the rows of `renders` and `scores` that builds use, so what was rendered
once is never rendered again, whoever asked for it.
"""

import io
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from prefect import task

from models.evaluation.editing import Editor
from models.evaluation.hacking import TRAITS_REVISION, trait_id, traits
from models.evaluation.methods import (
    Answer,
    Method,
    Question,
    best_of,
    edit_parts,
    load_answerer,
    sample_answers,
)
from models.evaluation.metrics import TRAITS
from models.integrity import content_integrity
from schemas.chat import Turn
from schemas.errors import DiffChatError
from schemas.evaluation import MethodSettings
from schemas.records import EVALUATION_CASES, EVALUATION_OUTPUTS, RENDERS, SCORES
from schemas.settings import home, load_settings
from schemas.units import Unit
from tasks.evaluation_plan import (
    EvaluationPlan,
    EvaluationRun,
    evaluation_plan,
    evaluation_run,
    output_id,
    outputs_of,
    score_arguments,
    todo_arguments,
    unanswered,
)
from tasks.opening import tis_row
from tasks.plan import lake_of, now, one_row
from tasks.progress import stage
from tasks.rendering import loaded_tis, png, render_batch
from tasks.rendering import record_of as render_record
from tasks.scoring import loaded_scorer, score_batch
from tasks.scoring import record_of as score_record
from tasks.shards import Row, work_off
from warehouse import Warehouse

ANSWERS_A_COMMIT = 256
SCORES_A_BATCH = 256


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


@task(name="answer", persist_result=False, task_run_name="answer-{index}")
def answer(run: EvaluationRun, index: int) -> int:
    """What one method has yet to answer, turn by turn; returns the number of answers."""
    lake, plan = lake_of(run), evaluation_plan(run)
    method = plan.methods[index]
    if method.settings.kind == "best_of_n":
        return _sample(lake, plan, method)
    todo = unanswered(lake, plan, method)
    if not todo:
        return 0
    answerer = load_answerer(method, run.settings.student)
    done = 0
    with stage(f"answer {method.name}", len(todo)) as advance:
        for turn in sorted({_step(case) for case in todo}):

            def left(turn: int = turn) -> list[Row]:
                return [c for c in unanswered(lake, plan, method) if _step(c) == turn]

            def work(rows: list[Row]) -> int:
                added = 0
                for start in range(0, len(rows), ANSWERS_A_COMMIT):
                    batch = rows[start : start + ANSWERS_A_COMMIT]
                    added += _answer(lake, plan, method, answerer, batch)
                    advance(len(batch))
                return added

            done += work_off(
                lake, "answer", lambda c: output_id(method.method_id, c["case_id"]), left, work
            )
    return done


def _step(case: Row) -> int:
    """Conversations go turn by turn; single cases carry what came before."""
    return case["turn"] if case["form"] == "conversation" else 1


def _answer(
    lake: Warehouse, plan: EvaluationPlan, method: Method, answerer: Any, cases: list[Row]
) -> int:
    """Ask the cases of one turn and commit what came; a case whose turn before failed fails."""
    have = (
        outputs_of(lake, method.method_id, plan) if any(c["parent_case_id"] for c in cases) else {}
    )
    asked: list[tuple[Row, Question]] = []
    answers: list[tuple[Row, Answer]] = []
    for case in cases:
        question = question_of(case, plan, have)
        if question is None:
            answers.append((case, Answer(None, "the turn before has no answer")))
        else:
            asked.append((case, question))
    found = answerer([question for _, question in asked]) if asked else []
    answers += [(case, said) for (case, _), said in zip(asked, found, strict=True)]
    return _commit(lake, [(method.method_id, case, said) for case, said in answers])


def question_of(case: Row, plan: EvaluationPlan, have: dict[str, Row]) -> Question | None:
    """A case as the method sees it; None if a turn of its own before has no answer."""
    history = [Turn(turn["instruction"], turn["prompt"]) for turn in case["history"]]
    raw_prompt = case["raw_prompt"]
    if case["parent_case_id"]:
        by_id = {row["case_id"]: row for row in plan.cases if row["form"] == "conversation"}
        chain, parent = [], by_id.get(case["parent_case_id"])
        while parent is not None:
            chain.insert(0, parent)
            parent = by_id.get(parent["parent_case_id"])
        for row in chain:
            answered = have.get(row["case_id"])
            if answered is None or answered["status"] != "ok":
                return None
            history.append(Turn(row["instruction"], answered["prompt"]))
    return Question(
        raw_prompt, case["instruction"], case["target_prompt"], case["first_prompt"], tuple(history)
    )


def _commit(lake: Warehouse, answers: list[tuple[str, Row, Answer]]) -> int:
    rows = [
        {
            "output_id": output_id(method_id, case["case_id"]),
            "method_id": method_id,
            "case_id": case["case_id"],
            "attempt": case["attempt"],
            "status": "failed" if said.prompt is None else "ok",
            "answered_at": now(),
        }
        | said._asdict()
        for method_id, case, said in answers
    ]
    return lake.append("evaluation_outputs", pa.Table.from_pylist(rows, schema=EVALUATION_OUTPUTS))


def _sample(lake: Warehouse, plan: EvaluationPlan, method: Method) -> int:
    """The samples that best_of_n will choose from, each an answer of a method of its own."""
    first = method._replace(method_id=method.samples[-1])  # committed together: the last says all
    todo = unanswered(lake, plan, first)
    if not todo:
        return 0
    answerer = sample_answers(method, plan.run.settings.student, method.settings.n)
    done = 0
    with stage(f"answer {method.name}", len(todo)) as advance:
        for start in range(0, len(todo), ANSWERS_A_COMMIT):
            batch = todo[start : start + ANSWERS_A_COMMIT]
            questions = [question_of(case, plan, {}) for case in batch]
            found = answerer([question for question in questions if question is not None])
            rows = [
                (sample, case, said)
                for case, answers in zip(batch, found, strict=True)
                for sample, said in zip(method.samples, answers, strict=True)
            ]
            done += _commit(lake, rows)
            advance(len(batch))
    return done


@task(name="picture", persist_result=False, task_run_name="picture-{index}")
def picture(run: EvaluationRun, index: int) -> int:
    """Render what the methods wrote under one text-to-image model, or edit; returns a count."""
    lake, plan = lake_of(run), evaluation_plan(run)
    canvas, methods = plan.canvases()[index]
    arguments = todo_arguments(plan, canvas, methods)

    def todo() -> list[Row]:
        return lake.todo("evaluation_render", **arguments).to_pylist()

    if index < len(plan.tis):
        settings = plan.tis_settings[index].model_dump_json()
        return work_off(
            lake, "render", lambda row: row["prompt"], todo,
            lambda rows: _render(lake, settings, canvas, rows),
        )  # fmt: skip
    method = plan.edits[index - len(plan.tis)]
    return work_off(
        lake, "render", lambda row: row["prompt"], todo,
        lambda rows: _edit(lake, plan, method, canvas, rows),
    )  # fmt: skip


def _render(lake: Warehouse, settings: str, tis_id: str, rows: list[Row]) -> int:
    tis, done = loaded_tis(settings), 0
    with stage("render", len(rows)) as advance:
        for start in range(0, len(rows), tis.batch):
            batch = rows[start : start + tis.batch]
            records = render_batch(lake, tis, tis_id, batch)
            done += lake.append("renders", pa.Table.from_pylist(records, schema=RENDERS))
            advance(len(batch))
    return done


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
            ready.append((row, _opened(lake, sha)))
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


def _opened(lake: Warehouse, sha: str) -> Image.Image:
    return Image.open(io.BytesIO(lake.images.get(sha))).convert("RGB")


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
    models = {
        identity.scorer_id: chosen.model_dump_json()
        for identity, chosen in zip(plan.scorers, plan.run.settings.scorers, strict=True)
    }
    done = 0
    with stage("score", len(rows)) as advance:
        for scorer_id, settings in models.items():
            asked = [row for row in rows if row["scorer_id"] == scorer_id]
            for start in range(0, len(asked), SCORES_A_BATCH):
                batch = asked[start : start + SCORES_A_BATCH]
                records = score_batch(lake, loaded_scorer(settings), batch)
                done += lake.append("scores", pa.Table.from_pylist(records, schema=SCORES))
                advance(len(batch))
        names = {trait_id(name): name for name in TRAITS}
        asked = [row for row in rows if row["scorer_id"] in names]
        records = _trait_records(lake, asked, names)
        done += lake.append("scores", pa.Table.from_pylist(records, schema=SCORES))
        advance(len(asked))
    return done


def _trait_records(lake: Warehouse, rows: list[Row], names: dict[str, str]) -> list[Row]:
    """Traits of pictures, each picture opened once."""
    known: dict[str, dict[str, float]] = {}
    records = []
    for row in sorted(rows, key=lambda row: row["render_id"]):
        if row["image_sha256"] not in known:
            known = {row["image_sha256"]: traits(_opened(lake, row["image_sha256"]))}
        value = known[row["image_sha256"]][names[row["scorer_id"]]]
        records.append(score_record(row, value))
    return records


SAMPLE_SCORES = """
SELECT o.method_id, o.case_id, o.prompt, o.units, s.scorer_id, avg(s.value) AS value
FROM pictured_outputs($cases, $methods::VARCHAR[]) AS o
LEFT JOIN renders AS r
    ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok'
    AND list_contains($seeds::BIGINT[], r.seed)
LEFT JOIN scores AS s
    ON s.render_id = r.render_id AND s.status = 'ok'
    AND list_contains($scorers::VARCHAR[], s.scorer_id)
    AND coalesce(s.intent, o.intent) = o.intent
GROUP BY ALL
"""


@task(name="choose", persist_result=False, task_run_name="choose-{index}")
def choose(run: EvaluationRun, index: int) -> int:
    """Of rendered and scored samples, the one that best_of_n answers with."""
    lake, plan = lake_of(run), evaluation_plan(run)
    method = plan.methods[index]
    if method.settings.kind != "best_of_n":
        return 0
    todo = unanswered(lake, plan, method)
    if not todo:
        return 0
    chosen = _chosen(lake, plan, method)
    missing = Answer(None, "no sample could be rendered")
    return _commit(
        lake, [(method.method_id, case, chosen.get(case["case_id"], missing)) for case in todo]
    )


def _chosen(lake: Warehouse, plan: EvaluationPlan, method: Method) -> dict[str, Answer]:
    """case id → the best sample, under the main text-to-image model."""
    scorers = {plan.scorer_of(name): name for name in ("aesthetics", "preference")}
    rows = lake.query(SAMPLE_SCORES, {
        "cases": plan.case_set_id, "methods": list(method.samples), "tis": plan.tis[0].tis_id,
        "seeds": list(plan.run.settings.evaluation.seeds),
        "scorers": [scorer for scorer in scorers if scorer],
    }).to_pylist()  # fmt: skip
    known = [row for row in rows if row["value"] is not None]
    sigma = {
        name: float(np.std([r["value"] for r in known if r["scorer_id"] == scorer] or [0])) or 1.0
        for scorer, name in scorers.items()
    }
    samples: dict[str, dict[str, Row]] = {}
    for row in rows:
        units = [Unit(u["role"], u["text"]) for u in row["units"]]
        nothing = {"aesthetics": np.nan, "preference": np.nan, "prompt": row["prompt"],
                   "integrity": content_integrity(units, row["prompt"]).score}  # fmt: skip
        sample = samples.setdefault(row["case_id"], {}).setdefault(row["method_id"], nothing)
        name = scorers.get(row["scorer_id"])
        if name and row["value"] is not None:
            sample[name] = row["value"] / sigma[name]
    told = {i: outputs_of(lake, i, plan) for i in method.samples}
    chosen = {}
    for case_id, of_method in samples.items():
        ids = sorted(of_method)
        best = best_of([of_method[i] for i in ids])
        if best is not None:
            wrote = [told[i][case_id] for i in ids]
            chosen[case_id] = Answer(
                of_method[ids[best]]["prompt"], None, wrote[best]["finished"],
                sum(row["tokens"] or 0 for row in wrote),
                sum(row["latency_ms"] or 0.0 for row in wrote),
            )  # fmt: skip
    return chosen
