"""`diffchat evaluate`, `report`, `promote`, `retrain`: what a person asks of evaluations.

An evaluation with nothing new is found out without Prefect and torch, in about a second.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from app.console import console, note, print_json, print_rows
from app.running import run_flow
from schemas.errors import DiffChatError, ModelError, SettingsError
from schemas.settings import Settings, home, load_settings


def run_evaluate(
    profile: str, changes: dict[str, Any], models: list[str], cases: str | None, as_json: bool
) -> None:
    """Evaluate what is not evaluated yet, show the verdict and where the report is."""
    result = evaluated(profile, changes, models, cases, bars=not as_json)
    if as_json:
        print_json(result)
    else:
        show(result)


def evaluated(
    profile: str, changes: dict[str, Any], models: list[str], cases: str | None, bars: bool
) -> dict[str, Any]:
    """The result of `flows.evaluate`, without starting the flow if there is nothing to do."""
    from tasks.evaluation_plan import evaluation_plan, evaluation_run, finished, said
    from tasks.plan import lake_of

    started = time.monotonic()
    settings = load_settings(profile, changes)
    path = str(Path(cases).resolve()) if cases else None
    run = evaluation_run(settings, home(), tuple(models), path)
    lake = lake_of(run)
    row = finished(lake, evaluation_plan(run))
    if row is not None:
        result = said(run, row, new=False)
    else:
        result = run_flow("evaluate", profile, changes or None, list(models), path, bars=bars)
    return result | {"seconds": round(time.monotonic() - started, 1)}


DEMO_CASES = {
    "evaluation.max_cases": 24,
    "evaluation.seeds": [100],
    "evaluation.max_conversations": 6,
}


def demo_report(changes: dict[str, Any], models: list[str]) -> None:
    """The last step of the demo: what it built and trained, on a few dozen cases, as a report."""
    from warehouse import Warehouse

    settings = load_settings("embedded", changes)
    with Warehouse.open(settings.warehouse, home()) as lake:
        cases = lake.query("SELECT count(*) AS n FROM instructpe WHERE split = 'test'")
    if not cases.column("n")[0].as_py():
        note("No prompt of this small dataset fell into its test split: there is nothing to judge.")
        return
    console.print("\n[bold]Evaluate and report[/]: the same cases and seeds for every method\n")
    show(evaluated("embedded", DEMO_CASES | changes, models, None, bars=True))


def show(result: dict[str, Any]) -> None:
    """The verdict and the report's path."""
    if not result["new"]:
        note(f"Nothing to do: evaluation {result['version']} already answers this.")
    signs = {"good": "+", "bad": "-", "even": "=", "note": "i"}
    console.print(f"\n{result['verdict']['headline']}", markup=False)
    for point in result["verdict"]["points"]:
        console.print(f"  {signs[point['tone']]} {point['text']}", markup=False)
    console.print(f"\nReport: {result['report']}", markup=False, soft_wrap=True)


def run_report(settings: Settings, names: list[str], as_json: bool) -> None:
    """No name: the latest report, written again with the votes of today.  Two: what changed."""
    from warehouse import Warehouse

    with Warehouse.open(settings.warehouse, home()) as lake:
        rows = [evaluation_row(lake, name) for name in (names or ["latest"])]
    if len(rows) > 2:
        raise SettingsError("`diffchat report` compares two evaluations; more were named.")
    if len(rows) == 2:
        from reports.evaluation_page import differences

        older, newer = (read_summary(row) for row in rows)
        path, count = write_comparison(older, newer)
        differ = differences(older, newer)
        result = {"report": str(path), "changed_clearly": count, "not_shared": differ}
    else:
        result = {"report": str(refreshed(rows[0]))}
    if as_json:
        print_json(result)
    else:
        for text in result.get("not_shared", ()):
            note(text)
        console.print(f"Report: {result['report']}", markup=False, soft_wrap=True)


def evaluation_row(lake: Any, name: str) -> dict[str, Any]:
    """An evaluation by "latest", the start of its id, or a model that it judged last.

    Raises SettingsError that lists what there is.
    """
    rows = lake.query("FROM evaluations ORDER BY evaluated_at DESC").to_pylist()
    if not rows:
        raise SettingsError("There is no evaluation yet: run `diffchat evaluate`.")
    if name == "latest":
        return rows[0]
    found = [row for row in rows if row["evaluation_id"].startswith(name)]
    found = found or [r for r in rows if any((m or "").startswith(name) for m in r["models"])]
    if not found:
        known = ", ".join(row["evaluation_id"][:12] for row in rows[:10])
        raise SettingsError(f"There is no evaluation of {name!r}. The latest: {known}.")
    return found[0]


def read_summary(row: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an evaluation as its report has them."""
    path = home() / row["report"] / "summary.json"
    text = path.read_text(encoding="utf-8") if path.is_file() else row["summary"]
    return json.loads(text)


def refreshed(row: dict[str, Any]) -> Path:
    """The report of an evaluation, written again from the warehouse: votes may have come."""
    from tasks.evaluation_plan import evaluation_id, evaluation_plan, evaluation_run
    from tasks.evaluation_results import write_report
    from tasks.plan import lake_of

    page = home() / row["report"] / "index.html"
    settings = Settings.model_validate_json(row["settings"])
    run = evaluation_run(settings, home(), tuple(row["asked_models"]), row["asked_cases"])
    lake = lake_of(run)
    try:
        plan = evaluation_plan(run)
    except DiffChatError as error:  # a model was deleted, a file of cases moved
        if not page.is_file():
            raise
        note(f"The report stands as it was written, without later votes: {error}")
        return page
    if evaluation_id(lake, plan) == row["evaluation_id"]:
        write_report(run, time.time())
    elif not page.is_file():
        raise SettingsError(
            f"The report {page} is gone and what it was made of has changed since: evaluate again."
        )
    return page


def write_comparison(older: dict[str, Any], newer: dict[str, Any]) -> tuple[Path, int]:
    """The page of what changed between two evaluations, and how many numbers moved clearly."""
    from reports.evaluation_page import changes, comparison_page

    rows = changes(older, newer)
    path = home() / "reports" / f"{older['version']}-{newer['version']}.html"
    staged = path.with_suffix(".part")
    staged.write_text(comparison_page(older, newer, rows), encoding="utf-8")
    staged.replace(path)
    moved = [row for row in rows if row["clear"]]
    shown = [(r["method"], r["metric"], r["before"], r["after"], r["change"]) for r in moved[:20]]
    if shown and sys.stdout.isatty():
        print_rows(("method", "metric", "before", "after", "change"), shown)
    return path, len(moved)


def run_promote(
    settings: Settings, model: str | None, back: bool, force: str | None, as_json: bool
) -> None:
    """Move `champion` by the profile's rules, by hand with a reason, or back."""
    from tasks.promoting import champion, judge_candidate, latest_evaluation, move, move_back
    from warehouse import Warehouse

    if back == bool(model):
        raise SettingsError("Name a model version to promote, or --back to undo the last move.")
    with Warehouse.open(settings.warehouse, home()) as lake:
        if back:
            result = {"promoted": True, "champion": move_back(lake)["model_id"], "reasons": []}
        else:
            from tasks.evaluation_plan import version_row
            from tasks.model_versions import resolve_model

            model_id = resolve_model(lake, home(), str(model)).model_id
            if version_row(lake, model_id) is None:
                raise ModelError(f"{model} is a folder; only model versions can be champion.")
            evaluation = latest_evaluation(lake, model_id)
            if force:
                move(lake, model_id, force, evaluation)
                result = {"promoted": True, "champion": model_id, "reasons": [force]}
            elif evaluation is None:
                raise SettingsError(
                    f"Model {model_id[:12]} was never evaluated: `diffchat evaluate {model}`."
                )
            else:
                decision = judge_candidate(lake, evaluation, model_id, settings.promotion)
                if decision.promoted:
                    move(lake, model_id, "; ".join(decision.reasons), evaluation)
                reasons = list(decision.reasons)
                result = {
                    "promoted": decision.promoted, "champion": champion(lake), "reasons": reasons
                }  # fmt: skip
    if as_json:
        print_json(result)
        return
    word = "promoted" if result["promoted"] else "not promoted"
    said = "; ".join(result["reasons"])
    note(f"{word}{': ' + said if said else ''}. Champion: {result['champion'] or 'none'}")


def run_retrain(
    profile: str, changes: dict[str, Any], build: bool, rl: bool, as_json: bool
) -> None:
    """The flow `retrain` in this process; what each step did."""
    started = time.monotonic()
    load_settings(profile, changes)
    result = run_flow("retrain", profile, changes or None, build, rl, bars=not as_json)
    result["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json(result)
    elif not result["worked"]:
        note(f"Nothing to do: {result['promote']['champion'] or 'no model'} is the champion.")
    else:
        show(result["evaluate"])
        word = "promoted" if result["promote"]["promoted"] else "kept the champion"
        note(f"{word}: {'; '.join(result['promote']['reasons'])}")
