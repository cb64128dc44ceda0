"""`diffchat demo`: the whole factory on the embedded profile, and what to try next.

A dataset is built and published, the embedded student is fine-tuned on it and then trained from
pictures, and both are evaluated in a report.

The same code as `diffchat build`; only the number of prompts differs.  Run again it goes on where
it stopped, or says that there is nothing to do.
"""

import time
from typing import Any

from app.build import run_build
from app.console import console
from app.evaluation import demo_report
from app.train import run_rl, run_sft
from models.weights import PROJECT
from schemas.settings import load_settings

DEMO_PROMPTS = 150  # about 2 minutes of rendering on two cores
SMALL_PROMPTS = 48
# The same 88 questions five times, most for beauty, where answers differ: what three minutes
# teach shows only on the same questions (docs/results.md).
DEMO_RL = {"rl.steps": 55, "rl.epoch_steps": 11, "rl.kind_shares": {"beautify": 0.75}}
SMALL_RL = {"rl.steps": 4, "rl.reward.calibration": 16}
SMALL_EXAMPLES = 1_200  # of SFT; the full demo takes all, the epochs of the profile hold it short


def run_demo(small: bool, changes: dict[str, Any]) -> None:
    """Build on the first prompts of the embedded world; print funnel, version and next steps."""
    limit = SMALL_PROMPTS if small else DEMO_PROMPTS
    started = time.monotonic()
    changes = {"collect.limit": limit} | changes
    limit = changes["collect.limit"]
    console.print(f"[bold]DiffChat demo[/]: {limit} raw prompts through the whole factory\n")
    run_build("embedded", changes)
    models = []
    if (PROJECT / load_settings("embedded", changes).student.base).is_dir():
        models = train_student(small, changes)
    demo_report(changes, models)
    console.print(f"\nThat took {time.monotonic() - started:.0f} s. Try next:\n")
    for command, what in NEXT:
        console.print(f"  [cyan]{command}[/]", soft_wrap=True)  # a line to copy
        console.print(f"      {what}", markup=False)


def train_student(small: bool, changes: dict[str, Any]) -> list[str]:
    """SFT, then RL from it; returns both model ids."""
    console.print("\n[bold]Fine-tuning the student[/] on what was published\n")
    examples = {"sft.max_examples": SMALL_EXAMPLES} if small else {}
    tuned = run_sft("embedded", examples | changes)["model_id"]
    console.print("\n[bold]Training it further[/] from the pictures of what it writes\n")
    learning = SMALL_RL if small else DEMO_RL
    return [tuned, run_rl("embedded", learning | changes, tuned)["model_id"]]


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
