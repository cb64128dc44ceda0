"""Teach: raw prompts × recipe − `teacher_calls`; then answered calls − calls with `triples`.

Answers go to a journal as they arrive and to the lake when a shard is done, so a kill loses what
was under way and nothing else.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prefect import task
from prefect.concurrency.sync import concurrency

from models.teacher.budget import Budget
from models.teacher.client import Request, ask
from models.teacher.offline import start_offline_teacher
from models.teacher.recipes import beautify_body, follow_up_body, teacher_body
from models.teacher.triples import triples_of
from models.tis import load_token_counter
from schemas.errors import BudgetExceeded
from schemas.identity import call_id
from schemas.settings import TeacherSettings
from tasks.plan import Plan, Run, lake_of, now, plan_of
from tasks.progress import stage as progress
from tasks.shards import Row, until_done
from warehouse import Warehouse

SPENT = """
SELECT coalesce(sum(prompt_tokens + completion_tokens), 0)::BIGINT AS tokens,
    coalesce(sum(cost_usd), 0) AS usd
FROM teacher_calls WHERE build_id = $build
"""
# The turn before a second one: the triple of the same root that led to the prompt asked about.
PARENTS = """
SELECT c.call_id, min(t.triple_id) AS triple_id
FROM (SELECT unnest($calls) AS call_id, unnest($roots) AS root, unnest($subjects) AS subject) AS c
JOIN triples AS t ON t.raw_prompt_id = c.root AND t.target_prompt = c.subject AND t.turn = 1
WHERE c.subject <> t.raw_prompt
GROUP BY c.call_id
"""


@task(name="teach", persist_result=False, task_run_name="{stage}-{shard}-of-{of}")
def teach(run: Run, stage: str, shard: int, of: int) -> bool:
    """Ask what one shard of `stage` (teach, follow_up, beautify) lacks and read the answers.

    Returns False if the budget was reached; what was bought by then is kept and read.
    """
    spent = lake_of(run).query(SPENT, {"build": run.build_id}).to_pylist()[0]
    budget = Budget.of(run.settings.teacher, spent["tokens"], spent["usd"])

    def work(lake: Warehouse, plan: Plan, rows: list[Row]) -> int:
        return ask_rows(lake, run, stage, rows, budget)

    try:
        until_done(run, stage, shard, of, work)
    except BudgetExceeded:
        return False
    finally:
        read_answers(lake_of(run), plan_of(run.settings))
    return True


def ask_rows(lake: Warehouse, run: Run, stage: str, rows: list[Row], budget: Budget) -> int:
    """Ask for rows of a to-do and commit the calls; raises BudgetExceeded when some were not."""
    settings = run.settings.teacher
    recipe_id = plan_of(run.settings).recipe.recipe_id
    journal = lake.journal("teacher_calls")
    requests = [request_of(run, stage, row, recipe_id) for row in rows]
    with teacher_url(settings) as base_url, progress(stage, len(rows)) as advance:

        def arrived(record: Row) -> None:
            journal.append(record)
            if record["status"] == "ok":
                advance(1)

        try:
            asking = ask(requests, settings, arrived, budget=budget, base_url=base_url)
            with concurrency("teacher", occupy=settings.concurrency, strict=False):
                summary = asyncio.run(asking)
        finally:
            journal.ingest()
    if summary.stopped_by_budget:
        raise BudgetExceeded(f"The cap is reached: {summary.not_sent} calls were not made.")
    return summary.ok


def request_of(run: Run, stage: str, row: Row, recipe_id: str) -> Request:
    """The request of a row of `todo_teach`, `todo_follow_up` or `todo_beautify`."""
    settings, subject = run.settings.teacher, row["subject"]
    if stage == "teach":
        body = teacher_body(subject, settings, row["sample_index"])
    elif stage == "follow_up":
        body = follow_up_body(subject, settings)
    else:
        parts = (row["raw_prompt"], row["instruction"], row["target_prompt"])
        body = beautify_body(*parts, settings)
    columns = {
        "recipe_id": recipe_id,
        "raw_prompt_id": row["raw_prompt_id"],
        "subject": subject,
        "build_id": run.build_id,
    }
    return Request(
        call_id(body, row["sample_index"]),
        body,
        columns,
        row["sample_index"],
        row["attempt"],
        row["final_failures"],
    )


@contextmanager
def teacher_url(settings: TeacherSettings) -> Iterator[str | None]:
    """None for the endpoint of the settings, else the address of an offline teacher, started."""
    if settings.base_url is not None:
        yield None
        return
    with start_offline_teacher() as teacher:
        yield teacher.base_url


def read_answers(lake: Warehouse, plan: Plan) -> int:
    """Triples of the answered calls that have none yet; returns how many were added."""
    calls = lake.todo("read", recipe_id=plan.recipe.recipe_id).to_pylist()
    if not calls:
        return 0
    columns: dict[str, Any] = {
        "calls": [call["call_id"] for call in calls],
        "roots": [call["raw_prompt_id"] for call in calls],
        "subjects": [call["subject"] for call in calls],
    }
    parents = {row["call_id"]: row["triple_id"] for row in lake.query(PARENTS, columns).to_pylist()}
    counter = load_token_counter(plan.settings.tis) if plan.tis else None
    budget = plan.tis.token_budget if plan.tis else None
    pairs = plan.recipe.kind == "beautify"
    return lake.append("triples", triples_of(calls, parents, now(), counter, budget, pairs=pairs))
