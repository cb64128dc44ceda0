"""The audit of write–audit–publish: Great Expectations judges data before readers see it.

`audit_increment` judges what a stage is about to commit, `audit_candidate` a whole candidate
version.  Both write `audit.html` and `audit.json` into a folder and return a verdict; the caller
publishes nothing where it has failed.  A million rows take seconds: the frames that Great
Expectations is handed are views of numbers (`tasks.audit_views`).

Leaves out: what must hold (`schemas.expectations`), and repairing anything.

Great Expectations takes seconds to import, so it is imported when the first audit runs, or before
(`import_great_expectations`); it runs in memory, with its analytics switched off.
"""

import importlib
import json
import logging
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from reports.audit_page import audit_page
from schemas.expectations import Expectation, candidate_suite, increment_suite
from schemas.records import PUBLISHED_ROWS, TABLES
from schemas.settings import PublishSettings
from tasks.audit_views import candidate_views, columns_view, frame, kind_shares

OFFENDING_ROWS = 10  # shown of each failed expectation
_SUMMARY = {"result_format": "SUMMARY", "partial_unexpected_count": OFFENDING_ROWS}
_one_at_a_time = threading.Lock()  # the data context of Great Expectations is global to a process


@dataclass(frozen=True)
class AuditResult:
    """The verdict: `failures` are sentences, one a failed expectation, with what was observed."""

    passed: bool
    failures: tuple[str, ...]
    report_path: str


def audit_increment(table_name: str, arrow_table: pa.Table, home: Path) -> AuditResult:
    """Judge the staged increment of `table_name` (a key of `schemas.records.TABLES`).

    Writes its report into `home/reports/audit/increments/<table_name>`, over the one before.
    Raises KeyError for an unknown table.
    """
    suite = increment_suite(table_name)
    views = {"columns": columns_view(arrow_table, TABLES[table_name][0]), "rows": arrow_table}
    folder = Path(home) / "reports" / "audit" / "increments" / table_name
    return _audit(f"Audit of an increment of {table_name}", suite, views, folder)


def audit_candidate(
    candidate: pa.Table,
    previous: pa.Table | None,
    settings: PublishSettings,
    report_folder: Path,
) -> AuditResult:
    """Judge a candidate version, in the columns of `PUBLISHED_ROWS`.

    `previous` is the version before, of which only `edit_kind` is read; None judges no drift.
    Writes `audit.html` and `audit.json` into `report_folder`, which is created.
    """
    views = {"columns": columns_view(candidate, PUBLISHED_ROWS), "rows": candidate}
    shares, before = None, 0
    if previous is not None and previous.num_rows:
        shares, before = kind_shares(previous["edit_kind"]), previous.num_rows
    suite = candidate_suite(settings, candidate.num_rows, before, shares)
    if candidate.schema.equals(PUBLISHED_ROWS):
        views |= candidate_views(candidate, shares)
    return _audit("Audit of a dataset version", suite, views, Path(report_folder))


def _audit(
    title: str, suite: Sequence[Expectation], views: Mapping[str, pa.Table], folder: Path
) -> AuditResult:
    findings = _judge(suite, views)
    rows = views["rows"].num_rows
    folder.mkdir(parents=True, exist_ok=True)
    _replace(folder / "audit.json", _as_json(title, rows, findings))
    page = folder / "audit.html"
    _replace(page, audit_page(title, rows, findings))
    failures = tuple(_sentence(finding) for finding in findings if not finding["passed"])
    return AuditResult(not failures, failures, str(page))


def _judge(suite: Sequence[Expectation], views: Mapping[str, pa.Table]) -> list[dict[str, Any]]:
    """A finding an expectation, in order.

    Where the columns are not as wanted, nothing else is judged: no other view can be computed.
    """
    with _one_at_a_time, _great_expectations() as validate:
        findings: list[dict[str, Any]] = []
        for view, group in groupby(suite, key=lambda expectation: expectation.view):
            expectations = list(group)
            rows = views[view]
            outcomes = validate(frame(rows, expectations), expectations)
            for expectation, outcome in zip(expectations, outcomes, strict=True):
                findings.append(_finding(expectation, outcome, rows))
            if view == "columns" and not findings[-1]["passed"]:
                break
        return findings


def import_great_expectations() -> None:
    """Three seconds, for whoever has them to spare."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    importlib.import_module("great_expectations.expectations")


@contextmanager
def _great_expectations() -> Iterator[Any]:
    """Yield `validate(frame, expectations) -> list of results`, in memory and in silence."""
    import_great_expectations()
    log = logging.getLogger("great_expectations")
    level, log.level = log.level, logging.ERROR
    try:
        import great_expectations as gx
        import great_expectations.expectations as gxe
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
            ProgressBarsConfig,
        )

        # Without a site for its documents: it would make a temporary folder for one.
        config = DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        )
        context = gx.get_context(mode="ephemeral", project_config=config)
        context.variables.progress_bars = ProgressBarsConfig(
            globally=False, metric_calculations=False
        )
        source = context.data_sources.add_pandas("audit")
        whole = source.add_dataframe_asset("view").add_batch_definition_whole_dataframe("whole")

        def validate(data: pd.DataFrame, expectations: Sequence[Expectation]) -> list[Any]:
            suite = gx.ExpectationSuite("audit")
            for number, expectation in enumerate(expectations):
                kind = getattr(gxe, expectation.kind)
                # A number of our own: results come in another order than they were asked for.
                suite.add_expectation(kind(**expectation.arguments, meta={"number": number}))
            batch = whole.get_batch({"dataframe": data})
            results: list[Any] = batch.validate(suite, result_format=_SUMMARY).results
            by_number = {r.expectation_config.meta["number"]: r for r in results}
            return [by_number[number] for number in range(len(expectations))]

        yield validate
    finally:
        log.level = level


def _finding(expectation: Expectation, outcome: Any, rows: pa.Table) -> dict[str, Any]:
    result = outcome.result
    observed = {"value": result["observed_value"]} if "observed_value" in result else {}
    if "element_count" in result:
        observed = {"rows": result["element_count"], "unexpected": result["unexpected_count"]}
    trouble = outcome.exception_info
    if trouble.get("raised_exception") or any(
        isinstance(entry, dict) and entry.get("raised_exception") for entry in trouble.values()
    ):
        observed["error"] = str(trouble)
    indices = [int(index) for index in result.get("partial_unexpected_index_list") or []]
    return {
        "says": expectation.says,
        "passed": bool(outcome.success),
        "expectation": expectation.kind,
        "arguments": dict(expectation.arguments),
        "observed": observed,
        "hint": expectation.hint,
        "offending": rows.take(indices[:OFFENDING_ROWS]).to_pylist() if indices else [],
    }


def _sentence(finding: Mapping[str, Any]) -> str:
    observed = ", ".join(f"{name} {value}" for name, value in finding["observed"].items())
    hint = f" {finding['hint']}" if finding["hint"] else ""
    return f"{finding['says']} ({observed}).{hint}"


def _as_json(title: str, rows: int, findings: Sequence[Mapping[str, Any]]) -> str:
    document = {
        "title": title,
        "passed": all(finding["passed"] for finding in findings),
        "rows": rows,
        "expectations": findings,
    }
    return json.dumps(document, ensure_ascii=False, indent=2, default=str)


def _replace(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of one."""
    staged = path.with_suffix(path.suffix + ".part")
    staged.write_text(text, encoding="utf-8")
    staged.replace(path)
