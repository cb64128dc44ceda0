"""`diffchat sft`: fine-tune the student on a published version, or say that it is there.

Whether there is something to do is known without Prefect and torch.  Under `accelerate launch`
every process runs the training and the first one speaks; the flow is for one process.
"""

import time
from typing import Any

from app.console import console, note, print_json, print_rows, progress_bars
from app.running import run_flow
from models.train.card import figures
from models.train.distributed import is_main, processes
from schemas.settings import home, load_settings


def run_sft(profile: str, changes: dict[str, Any], as_json: bool = False) -> dict[str, Any]:
    """Train if need be and print what came of it; returns model_id, folder, metrics and `new`.

    Raises DiffChatError for anything that a person has to mend first.
    """
    from tasks.sft import finished, sft_plan, train
    from warehouse import Warehouse

    started = time.monotonic()
    settings = load_settings(profile, changes)
    with Warehouse.open(settings.warehouse, home()) as lake:
        plan = sft_plan(lake, settings)
        known = finished(lake, home(), plan)
        if known is not None:
            result = known.as_result()
            _say_nothing_to_do(result, plan.data.title, as_json)
            return result
        if processes() > 1:
            with progress_bars(is_main() and not as_json):
                result = train(lake, home(), settings, plan) | {"new": True}
    if processes() == 1:
        result = run_flow("train_sft", profile, changes or None, bars=not as_json)
    result["seconds"] = round(time.monotonic() - started, 1)
    if is_main():
        print_json(result) if as_json else _show(result)
    return result


def _say_nothing_to_do(result: dict[str, Any], data: str, as_json: bool) -> None:
    if as_json and is_main():
        print_json({"did": "nothing"} | result)
    elif is_main():
        note(
            f"Nothing to do: model {result['model_id'][:12]} was trained with these settings on "
            f"{data}: {result['folder']}"
        )


def _show(result: dict[str, Any]) -> None:
    metrics = result["metrics"]
    print_rows(("test split", "base", "trained", "base, hard", "trained, hard"), figures(metrics))
    left_out = sum(split["too_long"] for split in metrics["rows"].values())
    if left_out:
        note(f"{left_out} examples were longer than the context: {result['folder']}/left_out.jsonl")
    console.print(
        f"\nModel [bold]{result['model_id'][:12]}[/], {metrics['last_step']} steps, in "
        f"{result['seconds']:.0f} s: ",
        end="",
    )
    console.print(result["folder"], soft_wrap=True, markup=False)
