"""What a build leaves for people: Prefect artifacts with stable keys, and an event for triggers."""

import logging
from typing import Any

from prefect import task

from schemas.errors import WarehouseError
from tasks.artifacts import announce, show_audit, show_examples, show_funnel
from tasks.plan import Run, lake_of, pending, plan_of
from warehouse import Warehouse

EXAMPLES = """
WITH seen AS (FROM renders WHERE tis_id = $tis AND seed = $seed AND status = 'ok')
SELECT raw_prompt, instruction, target_prompt, edit_kind, aesthetic_gain, preference_gain,
    (SELECT any_value(image_sha256) FROM seen WHERE prompt = raw_prompt) AS raw,
    (SELECT any_value(image_sha256) FROM seen WHERE prompt = target_prompt) AS target
FROM instructpe ORDER BY hash(triple_id) LIMIT 6
"""


@task(name="report", persist_result=False)
def report(run: Run, published: dict[str, Any]) -> dict[str, Any]:
    """Artifacts and event of a finished build; returns what the command line shows."""
    lake = lake_of(run)
    latest = lake.latest()
    funnel = lake.funnel(published["decision_set_id"])
    show_funnel(funnel)
    show_audit(published["audit"])
    show_examples(examples(lake, run))
    if published["new"] and latest:
        announce(latest["version"], run.settings.profile, latest["rows"])
    pending(lake, plan_of(run.settings))  # remembered, so that a rerun knows at once
    return {
        "build_id": run.build_id,
        "version": published["version"],
        "new": published["new"],
        "rows": latest["rows"] if latest else 0,
        "funnel": funnel,
        "audit": published["audit"],
    }


def examples(lake: Warehouse, run: Run) -> list[dict[str, Any]]:
    """A few rows of the published version, with thumbnails of both pictures."""
    plan = plan_of(run.settings)
    if plan.tis is None:
        return []
    rows = lake.query(
        EXAMPLES, {"tis": plan.tis.tis_id, "seed": run.settings.render.seeds[0]}
    ).to_pylist()
    for row in rows:
        for side in ("raw", "target"):
            sha256 = row.pop(side)
            row[f"{side}_webp"] = thumbnail(lake, sha256) if sha256 else None
    return rows


def thumbnail(lake: Warehouse, sha256: str) -> bytes | None:
    """None, and a line in the log, for a picture that is gone or corrupt: the version stands."""
    try:
        return lake.images.thumbnail(sha256)
    except WarehouseError as error:
        logging.getLogger("diffchat").warning("an example has no picture: %s", error)
        return None
