"""`evaluate`: methods on cases, from answers to a report.

    prefect deployment run evaluate/embedded        (after `make up`)
    diffchat evaluate MODEL                         (the same, in this process)

Order and parameters only.  Everything is wanted − have: a model that was evaluated before is not
asked again, and an evaluation with nothing new does nothing and says so.
"""

import time
from typing import Any

from prefect import flow

from tasks.answering import answer, choose
from tasks.evaluating import judge, open_evaluation, picture, resolve_evaluation
from tasks.evaluation_reporting import conclude, look


@flow(name="evaluate", persist_result=False)
def evaluate(
    profile: str = "embedded",
    overrides: dict[str, Any] | None = None,
    models: list[str] | None = None,
    cases: str | None = None,
) -> dict[str, Any]:
    """Answer, render, score, compare, report; returns what `conclude` says.

    Args:
        profile: a name in `profiles/`, or the path of a TOML file.
        overrides: dotted settings, such as {"evaluation.max_cases": 100}.
        models: model versions, folders or hub ids, beside the profile's methods.
        cases: a .jsonl or .csv file of cases; none: the test split of the dataset version.
    """
    started = time.time()
    run = resolve_evaluation(profile, overrides, tuple(models or ()), cases)
    methods = open_evaluation(run)
    known = look(run)
    if known is not None:
        return known
    for index in range(methods):
        answer(run, index)
    canvases = len(run.settings.evaluation.transfer) + 1 + _editors(run)
    for index in range(canvases):
        picture(run, index)
        judge(run, index)
    for index in range(methods):
        choose(run, index)
    return conclude(run, started)


def _editors(run: Any) -> int:
    return sum(method.kind == "edit" for method in run.settings.evaluation.methods)
