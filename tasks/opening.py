"""Open a build: resolve its settings once, register what it uses, count what it has to do."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task

from models.tis import TisIdentity
from schemas.settings import home, load_settings
from tasks.plan import Run, lake_of, new_run, now, one_row, pending, plan_of
from tasks.progress import begin
from tasks.shards import filters

ROOT = Path(__file__).resolve().parent.parent


@task(name="resolve", persist_result=False)
def resolve(profile: str, overrides: dict[str, Any] | None, retry_failed: bool) -> Run:
    """Settings as they are now, on this machine; later tasks get them as they were resolved.

    Raises SettingsError that names the key.
    """
    return new_run(load_settings(profile, overrides), home(), retry_failed)


@task(name="open-build", persist_result=False)
def open_build(run: Run) -> None:
    """Append the rows that name this build, its recipe, text-to-image model and scorers."""
    lake, plan = lake_of(run), plan_of(run.settings)
    settings = run.settings.model_dump(mode="json")
    tables = {
        "builds": one_row(
            "builds",
            build_id=run.build_id,
            profile=run.settings.profile,
            settings=json.dumps(settings, sort_keys=True),
            settings_hash=run.settings.hash(),
            code_revision=code_revision(),
            started_at=run.started_at,
        ),
        "recipes": one_row("recipes", **plan.recipe._asdict(), created_at=now()),
    }
    if plan.tis:
        tables["tis_models"] = tis_row(plan.tis)
    lake.append_all(tables)
    for scorer in plan.scorers:
        lake.append("scorers", one_row("scorers", **scorer._asdict(), created_at=now()))


def tis_row(tis: TisIdentity) -> pa.Table:
    """The row that names a text-to-image model."""
    return one_row(
        "tis_models",
        tis_id=tis.tis_id,
        name=tis.name,
        weights_hash=tis.weights_hash,
        settings=tis.settings_json,
        token_budget=tis.token_budget,
        created_at=now(),
    )


@task(name="count", persist_result=False, task_run_name="count-{stage}")
def count(run: Run, stage: str) -> int:
    """How many rows a stage has to do now, over all its shards."""
    rows = lake_of(run).count_todo(stage, **filters(run, stage))
    begin(stage, rows)
    return rows


@task(name="up-to-date", persist_result=False)
def up_to_date(run: Run) -> bool:
    """Whether a build would do nothing: a version stands and no stage has a to-do."""
    lake = lake_of(run)
    return lake.latest() is not None and not any(pending(lake, plan_of(run.settings)).values())


def code_revision() -> str:
    """Commit of the checkout, "+" if it has changes; "unknown" outside one."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
