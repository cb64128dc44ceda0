"""What an evaluation found, summarised and written as a report.

The folder of a report is written beside its place and renamed, and the row of `evaluations` comes
last: half a report is no report.
"""

import json
import os
import platform
import shutil
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.evaluation.metrics import (
    METRICS,
    PICTURE_SCORES,
)
from models.evaluation.people import agreement, bradley_terry, metric_agreement, tallies, win_rates
from models.evaluation.summary import NAMES, Row, summarise, turn_table
from reports.evaluation_page import evaluation_page
from reports.verdict import verdict_of
from tasks.evaluation_examples import case_rows, conversation_rows
from tasks.evaluation_gathering import Gathered
from tasks.evaluation_plan import (
    EvaluationPlan,
    EvaluationRun,
    evaluation_id,
    evaluation_plan,
)
from tasks.opening import code_revision
from tasks.plan import lake_of, now, one_row
from warehouse import Warehouse


def summary_of(lake: Warehouse, plan: EvaluationPlan, found: Gathered) -> Row:
    """All numbers of a report, as one dictionary that JSON holds."""
    settings = plan.run.settings.evaluation
    summary = summarise(found.observed, found.columns, found.single, found.prompts, settings)
    summary |= {
        "evaluation_id": evaluation_id(lake, plan),
        "from_dataset": plan.dataset_version is not None,
        "tis": [tis.name for tis in plan.tis],
        "columns": [
            {"name": c.name, "kind": c.kind, "seeds": len(c.members),
             "models": [plan.methods[i].model_id or plan.methods[i].settings.model or ""
                        for i in c.members]}
            for c in found.columns
        ],
        "metrics": [metric._asdict() for metric in METRICS],
        "turns": turn_table(found.columns, found.turns, found.text, settings),
        "failures": found.failures(),
        "people": people(lake, plan, found),
    }  # fmt: skip
    summary["verdict"] = verdict_of(summary)
    return summary


def people(lake: Warehouse, plan: EvaluationPlan, found: Gathered) -> Row:
    """What the votes on these methods and cases say; counts of zero where nobody voted."""
    ids = {m.method_id: m.group for m in plan.methods}
    sql = """
    FROM votes WHERE list_contains($methods::VARCHAR[], first_method)
        AND list_contains($methods::VARCHAR[], second_method)
        AND case_id IN (SELECT case_id FROM evaluation_cases WHERE case_set_id = $cases)
    """
    votes = lake.query(sql, {"methods": list(ids), "cases": plan.case_set_id}).to_pylist()
    index = {m.method_id: i for i, m in enumerate(plan.methods)}
    gaps: dict[str, dict[str, float]] = {}
    for vote in votes:
        place = found.place.get(vote["case_id"])
        if place is None:
            continue
        one, two = (found.observed[0].values[index[vote[f"{side}_method"]], place]
                    for side in ("first", "second"))  # fmt: skip
        for name in (*PICTURE_SCORES, "integrity", "image_integrity"):
            gap = one[NAMES.index(name)] - two[NAMES.index(name)]
            gaps.setdefault(name, {})[vote["pair_id"]] = float(gap)
    named = [v | {"first_method": ids[v["first_method"]], "second_method": ids[v["second_method"]]}
             for v in votes]  # fmt: skip
    counts = tallies(named)
    clusters = {case["case_id"]: case["cluster_id"] for case in plan.cases}
    strengths = bradley_terry(counts) if counts else {}
    return {
        "votes": len(votes),
        "tallies": win_rates(named, clusters, plan.run.settings.evaluation),
        "ranking": [{"method": name, "strength": value}
                    for name, value in sorted(strengths.items(), key=lambda item: -item[1])],
        "agreement": agreement(votes),
        "metrics": metric_agreement(votes, gaps),
    }  # fmt: skip


def provenance(lake: Warehouse, plan: EvaluationPlan, seconds: float) -> Row:
    """Where every number comes from."""
    settings = plan.run.settings
    version = None
    if plan.dataset_version is not None:
        sql = "FROM dataset_versions WHERE version = $v"
        version = lake.query(sql, {"v": plan.dataset_version}).to_pylist()[0]
    return {
        "profile": settings.profile,
        "settings_hash": settings.hash(),
        "cases": plan.cases[0]["source"],
        "case_set_id": plan.case_set_id,
        "dataset_version": plan.dataset_version,
        "dataset_snapshot": version["snapshot_id"] if version else None,
        "lake_snapshot": lake.snapshot(),
        "seeds": list(settings.evaluation.seeds),
        "build_seeds": list(settings.render.seeds),
        "tis": [{"name": t.name, "tis_id": t.tis_id, "weights": t.weights_hash} for t in plan.tis],
        "scorers": [
            {"name": s.name, "measures": s.measures, "scorer_id": s.scorer_id,
             "weights": s.weights_hash, "revision": s.revision} for s in plan.scorers
        ],
        "methods": [
            {"name": m.name, "column": m.group, "method_id": m.method_id, "model_id": m.model_id,
             "settings": m.settings.model_dump(mode="json", exclude={"base_url", "api_key_env"})}
            for m in plan.methods
        ],
        "statistics": settings.evaluation.model_dump(mode="json", exclude={"methods"}),
        "code_revision": code_revision(),
        "hardware": f"{platform.machine()}, {os.cpu_count()} CPUs, {platform.system()}",
        "python": platform.python_version(),
        "seconds": round(seconds, 1),
        "made_at": now().isoformat(timespec="seconds"),
    }  # fmt: skip


def training_curves(lake: Warehouse, plan: EvaluationPlan) -> list[Row]:
    """What the judged models' trainings logged, at most 200 points a curve."""
    ids = [m.model_id for m in plan.methods if m.model_id]
    sql = """
    WITH log AS (
        SELECT *, row_number() OVER (PARTITION BY model_id, term ORDER BY step) AS place,
            count(*) OVER (PARTITION BY model_id, term) AS points
        FROM training_log WHERE list_contains($ids::VARCHAR[], model_id)
    )
    SELECT model_id, term, step, "value" FROM log
    WHERE place % (1 + points // 200) = 0 OR place = points ORDER BY ALL
    """
    return lake.query(sql, {"ids": ids}).to_pylist() if ids else []


def write_report(run: EvaluationRun, started: float) -> Row:
    """Summarise, write page, JSON and Parquet, then the row of `evaluations`; returns the row."""
    lake, plan = lake_of(run), evaluation_plan(run)
    found = Gathered(lake, plan)
    summary = summary_of(lake, plan, found)
    version = summary["evaluation_id"][:12]
    seconds = time.time() - started
    summary |= {
        "version": version,
        "provenance": provenance(lake, plan, seconds),
        "curves": training_curves(lake, plan),
        "funnel": _funnel(lake, plan),
    }
    folder = Path(run.home) / "reports" / version
    cases, talks = case_rows(lake, plan, found), conversation_rows(lake, plan, found)
    page = evaluation_page(summary, cases, talks)
    publish_report(folder, summary, page, per_case(found))
    row = {
        "evaluation_id": summary["evaluation_id"],
        "case_set_id": plan.case_set_id,
        "dataset_version": plan.dataset_version,
        "methods": json.dumps(summary["columns"]),
        "models": [m.model_id for m in plan.methods if m.model_id],
        "asked_models": list(run.models),
        "asked_cases": run.cases,
        "tis_ids": [tis.tis_id for tis in plan.tis],
        "scorer_ids": [scorer.scorer_id for scorer in plan.scorers],
        "seeds": list(run.settings.evaluation.seeds),
        "settings": json.dumps(run.settings.model_dump(mode="json"), sort_keys=True),
        "settings_hash": run.settings.hash(),
        "summary": json.dumps(summary, sort_keys=True),
        "report": f"reports/{version}",
        "snapshot_id": lake.snapshot(),
        "code_revision": code_revision(),
        "seconds": seconds,
        "evaluated_at": now(),
    }
    lake.append("evaluations", one_row("evaluations", **row))
    return row | {"summary": summary}


def _funnel(lake: Warehouse, plan: EvaluationPlan) -> Row | None:
    if plan.dataset_version is None:
        return None
    sql = "SELECT funnel FROM dataset_versions WHERE version = $v"
    return json.loads(lake.query(sql, {"v": plan.dataset_version}).column(0)[0].as_py())


def per_case(found: Gathered) -> pa.Table:
    """One row a case, method and metric that has a value, under the main model and the others."""
    cases = np.array([case["case_id"] for case in found.single], dtype=object)
    methods = np.array([method.name for method in found.plan.methods], dtype=object)
    parts = []
    for observed in found.observed:
        m, c, k = np.nonzero(np.isfinite(observed.values))
        parts.append(
            pa.table(
                {
                    "tis": pa.array([observed.tis] * len(m), pa.string()),
                    "method": pa.array(methods[m], pa.string()),
                    "case_id": pa.array(cases[c], pa.string()),
                    "metric": pa.array(np.array(NAMES, dtype=object)[k], pa.string()),
                    "value": observed.values[m, c, k],
                }
            )
        )
    return pa.concat_tables(parts)


def publish_report(folder: Path, summary: Row, page: str, cases: pa.Table) -> None:
    """Write the folder whole, then put it in its place: whoever looks, and whenever this is killed,
    finds the report before, the new one, or (between two renames) none."""
    _remove_leftovers(folder)
    staged, before = (folder.with_name(f".{folder.name}.{kind}.{os.getpid()}")
                      for kind in ("new", "old"))  # fmt: skip
    staged.mkdir(parents=True)
    try:
        (staged / "index.html").write_text(page, encoding="utf-8")
        text = json.dumps(summary, ensure_ascii=False, indent=1, sort_keys=True)
        (staged / "summary.json").write_text(text, encoding="utf-8")
        for name in ("means", "against", "pairs", "by_kind", "alarms", "diversity", "turns"):
            if summary[name]:
                pq.write_table(pa.Table.from_pylist(summary[name]), staged / f"{name}.parquet")
        pq.write_table(cases, staged / "cases.parquet")
        if folder.exists():
            folder.rename(before)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        shutil.rmtree(before, ignore_errors=True)
    _point_latest(folder)


def _remove_leftovers(folder: Path) -> None:
    """What processes that are gone left beside this report."""
    for path in folder.parent.glob(f".{folder.name}.*.*"):
        if path.suffix != f".{os.getpid()}" and Path(f"/proc/{path.suffix[1:]}").exists():
            continue
        if path.is_symlink():
            path.unlink()
        else:
            shutil.rmtree(path)


def _point_latest(folder: Path) -> None:
    """`reports/latest` is a link to the report written last."""
    fresh = folder.with_name(f".{folder.name}.latest.{os.getpid()}")
    fresh.symlink_to(folder.name)
    os.replace(fresh, folder.parent / "latest")
