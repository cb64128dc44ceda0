"""Prefect tasks of training: the work is in modules free of Prefect (`tasks.sft`)."""

from pathlib import Path
from typing import Any

from prefect import task

from tasks.plan import Run, lake_of
from tasks.sft import finished, sft_plan, train


@task(name="train-sft", persist_result=False)
def train_student(run: Run) -> dict[str, Any]:
    """Fine-tune and register; returns model_id, folder, metrics, and whether it is new.

    A model that is there already is not trained again.
    """
    lake, home = lake_of(run), Path(run.home)
    plan = sft_plan(lake, run.settings)
    known = finished(lake, home, plan)
    if known is not None:
        answer = {"model_id": known.model_id, "folder": str(known.folder)}
        return answer | {"metrics": known.metrics, "new": False}
    return train(lake, home, run.settings, plan) | {"new": True}
