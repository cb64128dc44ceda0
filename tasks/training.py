"""Prefect tasks of training: the work is in modules free of Prefect (`tasks.sft`, `tasks.rl`)."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks import rl, sft
from tasks.plan import Run, lake_of


@task(name="train-sft", persist_result=False)
def train_student(run: Run) -> dict[str, Any]:
    """Fine-tune and register; returns model_id, folder, metrics, and whether it is new.

    A model that is there already is not trained again.
    """
    lake, home = lake_of(run), Path(run.home)
    plan = sft.sft_plan(lake, run.settings)
    known = sft.finished(lake, home, plan)
    return known or sft.train(lake, home, run.settings, plan) | {"new": True}


@task(name="reinforce", persist_result=False)
def reinforce(run: Run, parent: str = "latest") -> dict[str, Any]:
    """Train model `parent` on by the profile's `[rl]`; returns model_id, folder, metrics, `new`.

    A model that is there already is not trained again.
    """
    lake, home = lake_of(run), Path(run.home)
    plan = rl.rl_plan(lake, home, run.settings, parent)
    known = rl.finished(lake, home, plan)
    return known or rl.train(lake, home, run.settings, plan) | {"new": True}
