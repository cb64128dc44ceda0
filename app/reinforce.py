"""`diffchat rl`: reinforcement learning in a flow in this process, and what came of it."""

import os
import time
from typing import Any

from app.console import console, note, print_json, print_rows, progress_bars
from schemas.settings import home

SHOWN = ("reward", "integrity", "aesthetic_gain", "preference_gain", "kl", "tokens")


def run_rl(profile: str, changes: dict[str, Any], parent: str, as_json: bool) -> dict[str, Any]:
    """Train from `parent`, print the figures; a model that is there already is said to be."""
    from app.prefect_stack import in_process_environment

    started = time.monotonic()
    os.environ.update(in_process_environment(home()))
    note("starting the flow (the first seconds are Prefect's) …")
    from flows.train_rl import train_rl

    with progress_bars(not as_json):
        result = train_rl(profile, changes or None, parent)
    result["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json(result)
    else:
        show(result)
    return result


def show(result: dict[str, Any]) -> None:
    """First and last fifth of the steps beside each other."""
    metrics = result["metrics"]
    if not result["new"]:
        note(f"Nothing to do: model {result['model_id'][:12]} is trained already.")
    rows = [
        (term, metrics.get(f"{term}_first_fifth"), metrics.get(f"{term}_last_fifth"))
        for term in SHOWN
        if f"{term}_first_fifth" in metrics
    ]
    print_rows(("on-policy mean", "first fifth of the steps", "last fifth"), rows)
    if result.get("status") == "diverged":
        note(f"The run diverged and its last good weights were kept: {result['reason']}.")
    if result["new"]:
        console.print(
            f"Model {result['model_id'][:12]} ({result['method']}) after {metrics['steps']} steps "
            f"and {metrics['pictures_asked']} pictures, in {result['seconds']:.0f} s.",
            markup=False,
        )
