"""`diffchat demo`: the whole factory on the embedded profile, and what to try next.

A dataset is built and published, then the embedded student is fine-tuned on it.

The same code as `diffchat build`; only the number of prompts differs.  Run again it goes on where
it stopped, or says that there is nothing to do.
"""

import time
from typing import Any

from app.build import run_build
from app.console import console
from app.evaluation import demo_report
from app.train import run_sft
from models.weights import PROJECT
from schemas.settings import load_settings

DEMO_PROMPTS = 150  # about 2 minutes of rendering on two cores
SMALL_PROMPTS = 48
DEMO_EXAMPLES = 10_000  # of the fine-tuning: 17 ms of processor time each, so 90 s on two cores


def run_demo(small: bool, changes: dict[str, Any]) -> None:
    """Build on the first prompts of the embedded world; print funnel, version and next steps."""
    limit = SMALL_PROMPTS if small else DEMO_PROMPTS
    started = time.monotonic()
    changes = {"collect.limit": limit} | changes
    limit = changes["collect.limit"]
    console.print(f"[bold]DiffChat demo[/]: {limit} raw prompts through the whole factory\n")
    run_build("embedded", changes)
    if (PROJECT / load_settings("embedded", changes).student.base).is_dir():
        console.print("\n[bold]Fine-tuning the student[/] on what was published\n")
        run_sft("embedded", {"sft.max_examples": DEMO_EXAMPLES} | changes)
    demo_report(changes)
    console.print(f"\nThat took {time.monotonic() - started:.0f} s. Try next:\n")
    for command, what in NEXT:
        console.print(f"  [cyan]{command}[/]", soft_wrap=True)  # a line to copy
        console.print(f"      {what}", markup=False)


NEXT = (
    (
        '.venv/bin/diffchat sql "SELECT raw_prompt, instruction, target_prompt, preference_gain '
        'FROM instructpe ORDER BY preference_gain DESC LIMIT 5"',
        "the pairs whose pictures gained most",
    ),
    (".venv/bin/diffchat vote", "judge pairs of the report's pictures yourself, blind"),
    (".venv/bin/diffchat export my-instructpe", "the dataset as a Hugging Face folder"),
    (
        ".venv/bin/diffchat build --decide-only --set decide.looks_min_aesthetic_gain=0.1",
        "a stricter version: no call, no render",
    ),
    (
        "make up && .venv/bin/prefect deployment run build-instructpe/embedded",
        "the same in Prefect",
    ),
)
