"""`diffchat sft` and `diffchat rl`: train a student, or say that the model is there.

Whether there is something to do is known without Prefect and torch.  Under `accelerate launch`
every process runs the training itself and the first one speaks; the flows are for one process.
"""

import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from app.console import console, note, print_json, print_rows, progress_bars
from app.running import run_flow
from models.train.card import fifths, figures, rise
from models.train.distributed import end, is_main, processes
from schemas.settings import Settings, home, load_settings
from warehouse import Warehouse


def run_sft(profile: str, changes: dict[str, Any], as_json: bool = False) -> dict[str, Any]:
    """Fine-tune if need be and print what came of it; returns model_id, folder, metrics and `new`.

    Raises DiffChatError for anything that a person has to mend first.
    """
    from tasks import sft

    settings = load_settings(profile, changes)

    def planned(lake: Warehouse) -> sft.SftPlan:
        return sft.sft_plan(lake, settings)

    def in_a_flow() -> dict[str, Any]:
        return run_flow("train_sft", profile, changes or None, bars=not as_json)

    return _run(sft, settings, planned, in_a_flow, show_sft, as_json)


def run_rl(
    profile: str, changes: dict[str, Any], parent: str, as_json: bool = False
) -> dict[str, Any]:
    """Train from `parent` if need be and print what came of it; returns what `tasks.rl` does.

    Raises DiffChatError for anything that a person has to mend first.
    """
    from tasks import rl

    settings = load_settings(profile, changes)

    def planned(lake: Warehouse) -> rl.RlPlan:
        return rl.rl_plan(lake, home(), settings, parent)

    def in_a_flow() -> dict[str, Any]:
        return run_flow("train_rl", profile, changes or None, parent, bars=not as_json)

    return _run(rl, settings, planned, in_a_flow, show_rl, as_json)


def _run(
    room: ModuleType,
    settings: Settings,
    planned: Callable[[Warehouse], Any],
    in_a_flow: Callable[[], dict[str, Any]],
    show: Callable[[dict[str, Any]], None],
    as_json: bool,
) -> dict[str, Any]:
    """Look, then train here or in a flow, then speak; `room` is `tasks.sft` or `tasks.rl`."""
    started = time.monotonic()
    with Warehouse.open(settings.warehouse, home()) as lake:
        plan = planned(lake)
        result = room.finished(lake, home(), plan)
        if result is None and processes() > 1:
            with progress_bars(is_main() and not as_json):
                result = room.train(lake, home(), settings, plan) | {"new": True}
            end()
    if result is None:
        result = in_a_flow()
    result["seconds"] = round(time.monotonic() - started, 1)
    if is_main() and as_json:
        print_json(result if result["new"] else {"did": "nothing"} | result)
    elif is_main():
        if not result["new"]:
            note(f"Nothing to do: model {result['model_id'][:12]} was trained with these settings.")
        show(result)
        _say_where(result)
    return result


def _say_where(result: dict[str, Any]) -> None:
    """The model's name and folder, the folder on one line for copying."""
    console.print(f"\nModel [bold]{result['model_id'][:12]}[/]: ", end="")
    console.print(result["folder"], soft_wrap=True, markup=False)


def show_sft(result: dict[str, Any]) -> None:
    """What fine-tuning made of the base."""
    metrics = result["metrics"]
    print_rows(("test split", "base", "trained", "base, hard", "trained, hard"), figures(metrics))
    left_out = sum(split["too_long"] for split in metrics["rows"].values())
    if left_out:
        note(f"{left_out} examples were longer than the context: {result['folder']}/left_out.jsonl")
    if result["new"]:
        console.print(f"\n{metrics['last_step']} steps in {result['seconds']:.0f} s.")


def show_rl(result: dict[str, Any]) -> None:
    """First and last fifth of the steps beside each other."""
    metrics = result["metrics"]
    print_rows(("on-policy mean", "first fifth of the steps", "last fifth"), fifths(metrics))
    console.print(rise(metrics))
    print_rows(
        ("test split", "before", "trained", "before, hard", "trained, hard"), figures(metrics)
    )
    if result["status"] == "diverged":
        note(f"The run diverged; its last good weights were kept. {result.get('reason') or ''}")
    if result["new"]:
        console.print(
            f"\n{metrics['steps']} steps ({result['method']}), {metrics['pictures_asked']:,} "
            f"pictures, in {result['seconds']:.0f} s."
        )
