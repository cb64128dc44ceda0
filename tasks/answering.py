"""Answer: what each method of an evaluation writes for each case, wanted − have.

Best-of-n takes two steps: its samples are answers like any other, rendered and scored with them,
and `choose` takes the best of each case then.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from prefect import task

from models.evaluation.methods import (
    Answer,
    Method,
    Question,
    best_of,
    load_answerer,
    sample_answers,
)
from models.integrity import content_integrity
from schemas.chat import Turn
from schemas.records import EVALUATION_OUTPUTS
from schemas.units import Unit
from tasks.evaluation_plan import (
    EvaluationPlan,
    EvaluationRun,
    evaluation_plan,
    output_id,
    outputs_of,
    unanswered,
)
from tasks.plan import lake_of, now
from tasks.progress import stage
from tasks.shards import Row, work_off
from warehouse import Warehouse

ANSWERS_A_COMMIT = 256


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
