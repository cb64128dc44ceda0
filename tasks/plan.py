"""What a build wants: identities of recipe, text-to-image model and scorers, and what is missing.

Free of Prefect, torch and Great Expectations, so that the command line can count the to-dos of a
finished warehouse in a second and stop there.
"""

import json
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.collect import fingerprint, source_id
from models.scorers import ScorerIdentity, describe_scorer
from models.teacher.recipes import Recipe, recipe_of
from models.tis import TisIdentity, describe_tis
from schemas.records import TABLES
from schemas.settings import Frozen, Settings, TeacherSettings
from warehouse import Warehouse


class Run(Frozen):
    """One build: what crosses every task border."""

    settings: Settings
    home: str
    build_id: str
    started_at: datetime
    retry_failed: bool = False


@dataclass(frozen=True)
class Plan:
    """Settings resolved into identities; `tis` is None and `scorers` empty without rendering."""

    settings: Settings
    recipe: Recipe
    tis: TisIdentity | None
    scorers: tuple[ScorerIdentity, ...]

    def filters(self, stage: str) -> dict[str, Any]:
        """Arguments of `Warehouse.todo` and `count_todo` for a stage."""
        collect, teacher = self.settings.collect, self.settings.teacher
        scope = {"source_ids": tuple(map(source_id, collect.sources)), "lines": collect.limit}
        if stage == "beautify":
            return {"recipe_id": self.recipe.recipe_id}
        if stage in ("teach", "follow_up"):
            wanted = {"samples": teacher.samples, "share": teacher.follow_up_share}
            limits = {
                "attempts_per_build": teacher.attempts_per_build,
                "attempts_terminal": teacher.attempts_terminal,
            }
            return {"recipe_id": self.recipe.recipe_id, **wanted, **limits, **scope}
        renders = {"tis_id": self.tis and self.tis.tis_id, "seeds": self.settings.render.seeds}
        if stage == "render":
            return renders | scope
        return renders | scope | {"scorer_ids": tuple(s.scorer_id for s in self.scorers)}


def teacher_stages(settings: TeacherSettings) -> tuple[str, ...]:
    """The to-dos of a recipe, in order: a second turn needs the first."""
    return ("beautify",) if settings.recipe == "beautify" else ("teach", "follow_up")


def new_run(settings: Settings, home: Path, retry_failed: bool = False) -> Run:
    """A run with a fresh build id: attempts are counted by it, results never depend on it."""
    return Run(
        settings=settings,
        home=str(home),
        build_id=uuid.uuid4().hex,
        started_at=now(),
        retry_failed=retry_failed,
    )


@lru_cache(maxsize=4)
def _plan(settings_json: str) -> Plan:
    settings = Settings.model_validate_json(settings_json)
    rendered = settings.render.enabled
    return Plan(
        settings=settings,
        recipe=recipe_of(settings.teacher),
        tis=describe_tis(settings.tis) if rendered else None,
        scorers=tuple(map(describe_scorer, settings.scorers)) if rendered else (),
    )


def plan_of(settings: Settings) -> Plan:
    """Identities of everything the settings name; hashes weights, loads none.

    Raises ModelError for a folder that is missing or corrupt.
    """
    return _plan(settings.model_dump_json())


@lru_cache(maxsize=4)
def _lake(warehouse_json: str, home: str, process: int) -> Warehouse:
    settings = Settings.model_validate({"warehouse": json.loads(warehouse_json)})
    lake = Warehouse.open(settings.warehouse, Path(home))
    lake.tidy()
    return lake


def lake_of(run: Run) -> Warehouse:
    """The warehouse of a run, opened (and tidied, if runs before scattered it) once a process."""
    return _lake(run.settings.warehouse.model_dump_json(), run.home, os.getpid())


def pending(lake: Warehouse, plan: Plan) -> dict[str, int]:
    """How much each stage has to do right now (a stage's work may make more for the next)."""
    counts = {"collect": len(changed_sources(lake, plan))}
    stages = teacher_stages(plan.settings.teacher) + (("render", "score") if plan.tis else ())
    for stage in stages:
        counts[stage] = lake.count_todo(stage, **plan.filters(stage))
    counts["decide"] = int(lake.decision_pending(plan.settings.decide, **decide_arguments(plan)))
    return counts


def decide_arguments(plan: Plan) -> dict[str, Any]:
    """What `Warehouse.decide` needs beside the rules: which scores it reads.

    The held-out scorer is never among them.
    """
    by_measure = {
        settings.measures: scorer.scorer_id
        for settings, scorer in zip(plan.settings.scorers, plan.scorers, strict=False)
    }
    return {
        "tis_id": plan.tis.tis_id if plan.tis else None,
        "seeds": plan.settings.render.seeds if plan.tis else (),
        "aesthetics_id": by_measure.get("aesthetics"),
        "preference_id": by_measure.get("preference"),
    }


def changed_sources(lake: Warehouse, plan: Plan) -> list[int]:
    """Indices of the sources whose fingerprint the warehouse does not know."""
    known = lake.query("SELECT DISTINCT fingerprint FROM sources").column(0).to_pylist()
    limit = plan.settings.collect.limit
    return [
        index
        for index, source in enumerate(plan.settings.collect.sources)
        if fingerprint(source, limit) not in known
    ]


def one_row(table: str, **values: Any) -> pa.Table:
    """A table of one record, in the schema of `table`."""
    return pa.Table.from_pylist([values], schema=TABLES[table][0])


def now() -> datetime:
    """UTC, with microseconds."""
    return datetime.now(UTC)
