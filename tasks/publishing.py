"""Decide over the stored scores, audit the candidate version, publish it in one commit."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from prefect import task

from schemas.errors import AuditFailed
from schemas.records import PUBLISHED_ROWS, TABLES
from tasks.artifacts import show_audit
from tasks.plan import Run, decide_arguments, lake_of, plan_of
from warehouse import Warehouse

PREVIOUS = "SELECT edit_kind FROM instructpe"
# What stages have added, and when a row of it was made.
INCREMENTS = {
    "raw_prompts": "collected_at",
    "triples": "created_at",
    "renders": "rendered_at",
    "scores": "scored_at",
}


@task(name="publish", persist_result=False)
def publish(run: Run) -> dict[str, Any]:
    """Decide, audit and publish; returns version, decision set and the path of the audit.

    Raises AuditFailed, and publishes nothing, if the audit fails; the report says why.
    """
    lake, plan = lake_of(run), plan_of(run.settings)
    decisions = lake.decide(plan.settings.decide, **decide_arguments(plan))
    report = Path(run.home) / "reports" / "audit" / decisions
    before = lake.latest()
    version = lake.publish(
        decisions,
        profile=run.settings.profile,
        settings_hash=run.settings.hash(),
        audit=lambda candidate: audit(lake, run, candidate, report),
    )
    return {
        "version": version,
        "new": before is None or before["version"] != version,
        "decision_set_id": decisions,
        "audit": str(report / "audit.html"),
    }


def audit(lake: Warehouse, run: Run, candidate: pa.Table, folder: Path) -> None:
    """Judge what was staged since the last version, and the candidate against that version.

    Since the version and not since the start of this build: rows that fail are judged again by the
    next build.  Raises AuditFailed with all that does not hold.
    """
    from tasks.audit import audit_candidate, audit_increment

    latest = lake.latest()
    number = pa.array([latest["version"] + 1 if latest else 1] * len(candidate), pa.int64())
    candidate = candidate.add_column(0, "version", number).cast(PUBLISHED_ROWS)
    previous = lake.query(PREVIOUS) if latest else None
    results = [audit_candidate(candidate, previous, run.settings.publish, folder)]
    since = latest["published_at"] if latest else datetime.min.replace(tzinfo=UTC)
    for table, made_at in INCREMENTS.items():
        rows = lake.query(f"FROM {table} WHERE {made_at} > $1", [since])
        if rows.num_rows:
            # DuckDB names list items and time zones its own way; the record's types are meant.
            results.append(audit_increment(table, rows.cast(TABLES[table][0]), Path(run.home)))
    failed = [result for result in results if not result.passed]
    if not failed:
        return
    show_audit(failed[0].report_path)
    failures = "\n".join(f"  {failure}" for result in failed for failure in result.failures)
    reports = "\n".join(f"  {result.report_path}" for result in failed)
    raise AuditFailed(
        "The audit failed, so nothing is published; readers see what they saw before.\n"
        f"{failures}\nReports:\n{reports}"
    )
