"""`diffchat rl`: train a student on from pictures, or say that it is there.

As `app.train`: whether there is something to do is known without Prefect and torch; under several
processes each runs the training itself and the first one speaks.
"""

import time
from pathlib import Path
from typing import Any

from app.console import console, note, print_json, print_rows, progress_bars
from app.running import run_flow
from models.train.card import fifths, figures, rise
from models.train.distributed import is_main, processes
from schemas.settings import home, load_settings


def run_rl(
    profile: str, changes: dict[str, Any], parent: str, as_json: bool = False
) -> dict[str, Any]:
    """Train from `parent` if need be and print what came of it; returns what `tasks.rl` does.

    Raises DiffChatError for anything that a person has to mend first.
    """
    started = time.monotonic()
    result = _known(profile, changes, parent)
    if result is None and processes() == 1:
        result = run_flow("train_rl", profile, changes or None, parent, bars=not as_json)
    elif result is None:
        result = _run_here(profile, changes, parent, bars=is_main() and not as_json)
    result["seconds"] = round(time.monotonic() - started, 1)
    if is_main():
        print_json(result) if as_json else show(result)
    return result


def _known(profile: str, changes: dict[str, Any], parent: str) -> dict[str, Any] | None:
    from tasks.rl import finished, rl_plan
    from warehouse import Warehouse

    settings = load_settings(profile, changes)
    with Warehouse.open(settings.warehouse, home()) as lake:
        known = finished(lake, home(), rl_plan(lake, home(), settings, parent))
    return known and known.as_result("method", "status")


def _run_here(profile: str, changes: dict[str, Any], parent: str, bars: bool) -> dict[str, Any]:
    from tasks.rl import rl_plan, train
    from warehouse import Warehouse

    settings = load_settings(profile, changes)
    with Warehouse.open(settings.warehouse, home()) as lake, progress_bars(bars):
        plan = rl_plan(lake, Path(home()), settings, parent)
        return train(lake, home(), settings, plan) | {"new": True}


def show(result: dict[str, Any]) -> None:
    """First and last fifth of the steps beside each other."""
    metrics = result["metrics"]
    if not result["new"]:
        note(f"Nothing to do: model {result['model_id'][:12]} was trained with these settings.")
    print_rows(("on-policy mean", "first fifth of the steps", "last fifth"), fifths(metrics))
    console.print(rise(metrics))
    print_rows(
        ("test split", "before", "trained", "before, hard", "trained, hard"), figures(metrics)
    )
    if result["status"] == "diverged":
        note(f"The run diverged; its last good weights were kept. {result.get('reason') or ''}")
    if result["new"]:
        console.print(
            f"\nModel [bold]{result['model_id'][:12]}[/] ({result['method']}), {metrics['steps']} "
            f"steps, {metrics['pictures_asked']:,} pictures, in {result['seconds']:.0f} s: ",
            end="",
        )
        console.print(result["folder"], soft_wrap=True, markup=False)
