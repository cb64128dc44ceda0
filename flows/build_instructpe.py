"""`build-instructpe`: from raw prompts to a published version of the dataset.

    prefect deployment run build-instructpe/embedded        (after `make up`)
    diffchat build --profile embedded                       (the same, in this process)

Order and parameters only.  Every stage is wanted − have, so a flow that was killed goes on where
it stopped, and one with nothing to do does nothing.
"""

from math import ceil
from typing import Any

from prefect import flow

from tasks.collecting import collect, plan_collect
from tasks.opening import count, open_build, resolve
from tasks.plan import Run, teacher_stages
from tasks.publishing import publish
from tasks.rendering import render
from tasks.reporting import report
from tasks.scoring import score
from tasks.teaching import teach

CALLS_A_SHARD = 2_000  # about 10 s of a fast endpoint
SCORES_A_SHARD = 4_000


@flow(name="build-instructpe", persist_result=False)
def build_instructpe(
    profile: str = "embedded",
    overrides: dict[str, Any] | None = None,
    decide_only: bool = False,
    retry_failed: bool = False,
) -> dict[str, Any]:
    """Collect, teach, render, score, decide, audit, publish; returns what `report` says.

    Args:
        profile: a name in `profiles/`, or the path of a TOML file.
        overrides: dotted settings, such as {"collect.limit": 100}.
        decide_only: new thresholds over the stored scores: no call, no render.
        retry_failed: try again what earlier builds gave up.
    """
    run = resolve(profile, overrides, retry_failed)
    open_build(run)
    stopped = False if decide_only else not make_rows(run)
    return report(run, publish(run)) | {"stopped_by_budget": stopped}


def make_rows(run: Run) -> bool:
    """The stages that make rows, each in shards that know nothing of each other.

    Returns False if the teacher's budget was reached: what was bought by then goes on.
    """
    within_budget = True
    for index in plan_collect(run):
        collect(run, index)
    for stage in teacher_stages(run.settings.teacher):
        shards = ceil(count(run, stage) / CALLS_A_SHARD)
        within_budget = within_budget and all(
            teach(run, stage, shard, shards) for shard in range(shards)
        )
    if run.settings.render.enabled:
        shards = ceil(count(run, "render") / run.settings.render.shard)
        for shard in range(shards):
            render(run, shard, shards)
        shards = ceil(count(run, "score") / SCORES_A_SHARD)
        for shard in range(shards):
            score(run, shard, shards)
    return within_budget
