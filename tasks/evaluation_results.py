"""What an evaluation found: gathered from the warehouse, summarised, written as a report.

The folder of a report is written beside its place and renamed, and the row of `evaluations` comes
last: half a report is no report.
"""

import json
import os
import platform
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from models.evaluation.metrics import (
    METRICS,
    PICTURE_SCORES,
    image_integrity,
    text_metrics,
)
from models.evaluation.people import agreement, bradley_terry, metric_agreement, tallies, win_rates
from models.evaluation.summary import NAMES, Column, Observed, Row, summarise, turn_table
from models.tis import load_token_counter
from reports.evaluation_page import evaluation_page
from reports.verdict import verdict_of
from schemas.settings import TisSettings
from tasks.evaluation_plan import (
    EvaluationPlan,
    EvaluationRun,
    evaluation_id,
    evaluation_plan,
    measure_ids,
    outputs_of,
)
from tasks.opening import code_revision
from tasks.plan import lake_of, now, one_row
from warehouse import Warehouse

SCORES = """
SELECT o.method_id, o.case_id, s.scorer_id, avg(s.value) AS value
FROM pictured_outputs($cases, $methods::VARCHAR[]) AS o
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok'
    AND list_contains($seeds::BIGINT[], r.seed)
JOIN scores AS s ON s.render_id = r.render_id AND s.status = 'ok'
    AND list_contains($scorers::VARCHAR[], s.scorer_id) AND coalesce(s.intent, o.intent) = o.intent
GROUP BY ALL HAVING count(*) = len($seeds::BIGINT[])
"""
UNIT_SCORES = """
SELECT o.method_id, o.case_id, o.unit, avg(s.value) AS value
FROM (
    SELECT method_id, case_id, prompt, unnest(units)."text" AS unit
    FROM pictured_outputs($cases, $methods::VARCHAR[])
) AS o
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok'
    AND list_contains($seeds::BIGINT[], r.seed)
JOIN scores AS s ON s.render_id = r.render_id AND s.status = 'ok'
    AND s.scorer_id = $scorer AND s.intent = o.unit
GROUP BY ALL
"""
PICTURES = """
SELECT o.method_id, o.case_id, any_value(r.image_sha256) AS sha
FROM pictured_outputs($cases, $methods::VARCHAR[]) AS o
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok' AND r.seed = $seed
WHERE list_contains($shown::VARCHAR[], o.case_id)
GROUP BY ALL
"""


def columns_of(plan: EvaluationPlan) -> list[Column]:
    """The columns of the report, in the order of the methods."""
    members: dict[str, list[int]] = {}
    for index, method in enumerate(plan.methods):
        members.setdefault(method.group, []).append(index)
    return [
        Column(name, plan.methods[of[0]].settings.kind, tuple(of)) for name, of in members.items()
    ]


class Gathered:
    """Everything of an evaluation, from the warehouse into memory."""

    def __init__(self, lake: Warehouse, plan: EvaluationPlan):
        self.lake, self.plan = lake, plan
        self.columns = columns_of(plan)
        self.single = [case for case in plan.cases if case["form"] == "single"]
        self.turns = [case for case in plan.cases if case["form"] == "conversation"]
        self.place = {case["case_id"]: i for i, case in enumerate(self.single)}
        self.outputs = [outputs_of(lake, m.method_id, plan) for m in plan.methods]
        self.prompts = [
            {i: row["prompt"] for i, row in outputs.items() if row["status"] == "ok"}
            for outputs in self.outputs
        ]
        # What a method wrote does not depend on the text-to-image model, only its budget does.
        self.text = [self._text(index) for index in range(len(plan.methods))]
        self.observed = [self._observed(number) for number in range(len(plan.tis))]

    def _text(self, index: int) -> dict[str, dict[str, float]]:
        """case id → text metrics of one method; none for edited pictures."""
        if self.plan.methods[index].settings.kind == "edit":
            return {}
        count = load_token_counter(self.plan.tis_settings[0])
        budget, wrote = self.plan.tis[0].token_budget, self.prompts[index]
        return {
            case["case_id"]: text_metrics(case, wrote[case["case_id"]], count, budget)
            for case in self.plan.cases
            if case["case_id"] in wrote
        }

    def _observed(self, number: int) -> Observed:
        """Values under one text-to-image model; edited pictures exist under the main one only."""
        plan = self.plan
        values = np.full((len(plan.methods), len(self.single), len(NAMES)), np.nan)
        canvases = [(plan.tis[number].tis_id, [m.method_id for m in plan.methods])]
        if number == 0:
            canvases += [(plan.edit_tis(m), [m.method_id]) for m in plan.edits]
        index = {method.method_id: i for i, method in enumerate(plan.methods)}
        for canvas, methods in canvases:
            self._fill_scores(values, canvas, methods, index)
            self._fill_units(values, canvas, methods, index)
        self._fill_text(values, number)
        return Observed(plan.tis[number].name, values)

    def _arguments(self, canvas: str, methods: list[str]) -> Row:
        seeds = list(self.plan.run.settings.evaluation.seeds)
        return {"cases": self.plan.case_set_id, "methods": methods, "tis": canvas, "seeds": seeds}

    def _fill_scores(
        self, values: np.ndarray, canvas: str, methods: list[str], index: Mapping[str, int]
    ) -> None:
        names = measure_ids(self.plan)
        table = self.lake.query(SCORES, self._arguments(canvas, methods) | {"scorers": list(names)})
        for row in _rows(table):
            metric = NAMES.index(names[row[2]])
            values[index[row[0]], self.place[row[1]], metric] = row[3]

    def _fill_units(
        self, values: np.ndarray, canvas: str, methods: list[str], index: Mapping[str, int]
    ) -> None:
        scorer = self.plan.scorer_of("alignment")
        if scorer is None or not self.plan.run.settings.evaluation.image_integrity:
            return
        raw = next(m.method_id for m in self.plan.methods if m.settings.kind == "raw")
        found: dict[str, dict[str, dict[str, float]]] = {}
        queries = [(canvas, methods)]
        if raw not in methods:
            queries.append((self.plan.tis[0].tis_id, [raw]))
        for place, which in queries:
            arguments = self._arguments(place, which) | {"scorer": scorer}
            for method, case, unit, value in _rows(self.lake.query(UNIT_SCORES, arguments)):
                found.setdefault(method, {}).setdefault(case, {})[unit] = value
        base = found.get(raw, {})
        spread = [value for of_case in base.values() for value in of_case.values()]
        sigma = float(np.std(spread)) if spread else 0.0
        for method in methods:
            for case, of_case in found.get(method, {}).items():
                place = self.place[case]
                values[index[method], place, NAMES.index("image_integrity")] = image_integrity(
                    self.single[place]["units"], of_case, base.get(case, {}), sigma
                )

    def _fill_text(self, values: np.ndarray, number: int) -> None:
        """Text metrics, latency, tokens; a case without an answer or a picture is an overflow."""
        over = NAMES.index("overflow")
        count, budget = self._counter(number)
        pictured = [NAMES.index(n) for n in PICTURE_SCORES if self.plan.scorer_of(n)]
        for m, method in enumerate(self.plan.methods):
            for case_id, metrics in self.text[m].items():
                place = self.place.get(case_id)
                if place is not None:
                    for name, value in metrics.items():
                        values[m, place, NAMES.index(name)] = value
                    if number:
                        prompt = self.prompts[m][case_id]
                        values[m, place, over] = float(count(prompt) > budget)
            for case_id, row in self.outputs[m].items():
                place = self.place.get(case_id)
                if place is not None and method.settings.kind not in ("raw", "pasted", "teacher"):
                    for name in ("latency_ms", "tokens"):
                        if row[name] is not None:
                            values[m, place, NAMES.index(name)] = row[name]
            if method.settings.kind == "edit" and number:
                continue
            blank = ~np.isfinite(values[m][:, pictured]).any(axis=1)
            asked = [self.place[i] for i in self.outputs[m] if i in self.place]
            values[m, [i for i in asked if blank[i]], over] = 1.0
            if method.settings.kind == "edit":
                values[m, [i for i in asked if not blank[i]], over] = 0.0

    def _counter(self, number: int) -> tuple[Any, int]:
        settings: TisSettings = self.plan.tis_settings[number]
        return load_token_counter(settings), self.plan.tis[number].token_budget

    def failures(self) -> list[Row]:
        """Methods that left cases unanswered, with the commonest reason."""
        rows = []
        for method, outputs in zip(self.plan.methods, self.outputs, strict=True):
            errors = [row["error"] or "" for row in outputs.values() if row["status"] != "ok"]
            if errors:
                common = max(sorted(set(errors)), key=errors.count)
                rows.append({"method": method.group, "failed": len(errors),
                             "of": len(outputs), "error": common})  # fmt: skip
        return rows


def _rows(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows as tuples; a dictionary a row would take gigabytes for a million of them."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


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


def shown_cases(found: Gathered, count: int) -> list[int]:
    """Places of the cases to show: the worst first, by the models (else by all methods).

    Worst: content lost, then the preference lost to the raw prompt, in σ.
    """
    values = found.observed[0].values
    kinds = [m.settings.kind for m in found.plan.methods]
    chosen = [i for i, kind in enumerate(kinds) if kind not in ("raw", "pasted", "teacher", "edit")]
    chosen = chosen or [i for i, kind in enumerate(kinds) if kind != "raw"]
    raw = values[kinds.index("raw")]
    liked, content = NAMES.index("preference"), NAMES.index("integrity")
    sigma = float(np.nanstd(raw[:, liked])) if np.isfinite(raw[:, liked]).any() else 1.0
    badness = np.zeros(len(found.single))
    for i in chosen or [kinds.index("raw")]:
        gain = (values[i][:, liked] - raw[:, liked]) / (sigma or 1.0)
        lost = 1 - np.nan_to_num(values[i][:, content], nan=0.0)
        badness = np.maximum(badness, 3 * lost - np.nan_to_num(gain, nan=-3.0))
    return [int(i) for i in np.argsort(-badness, kind="stable")[:count]]


def case_rows(lake: Warehouse, plan: EvaluationPlan, found: Gathered) -> list[Row]:
    """The cases to show, each with what every method made of it and its picture."""
    places = shown_cases(found, plan.run.settings.evaluation.shown_cases)
    shown = [found.single[i]["case_id"] for i in places]
    shas: dict[tuple[str, str], str] = {}
    seed = plan.run.settings.evaluation.seeds[0]
    for canvas, methods in plan.canvases():
        if canvas in {tis.tis_id for tis in plan.tis[1:]}:
            continue
        arguments = {"cases": plan.case_set_id, "methods": methods, "tis": canvas,
                     "seed": seed, "shown": shown}  # fmt: skip
        for method, case, sha in _rows(lake.query(PICTURES, arguments)):
            shas[method, case] = sha
    rows = []
    for place in places:
        case = found.single[place]
        answers = [_answer_row(lake, found, m, place, shas) for m in range(len(plan.methods))]
        rows.append(
            {name: case[name] for name in ("raw_prompt", "instruction", "edit_kind", "intent",
                                           "target_prompt", "units")}
            | {"answers": [answer for answer in answers if answer]}
        )  # fmt: skip
    return rows


def _answer_row(
    lake: Warehouse, found: Gathered, m: int, place: int, shas: Mapping[tuple[str, str], str]
) -> Row | None:
    method, case_id = found.plan.methods[m], found.single[place]["case_id"]
    output = found.outputs[m].get(case_id)
    if output is None:
        return None
    values = found.observed[0].values[m, place]
    sha = shas.get((method.method_id, case_id))
    return {
        "method": method.name,
        "kind": method.settings.kind,
        "prompt": None if method.settings.kind == "edit" else output["prompt"],
        "error": output["error"],
        "image": lake.images.thumbnail(sha) if sha else None,
        "scores": {
            name: float(values[NAMES.index(name)])
            for name in (*PICTURE_SCORES, "integrity")
            if np.isfinite(values[NAMES.index(name)])
        },
    }


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
    page = evaluation_page(summary, case_rows(lake, plan, found))
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


def publish_report(folder: Path, summary: Row, page: str, cases: pa.Table | None) -> None:
    """Write the folder whole, then put it in its place."""
    staged = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        (staged / "index.html").write_text(page, encoding="utf-8")
        text = json.dumps(summary, ensure_ascii=False, indent=1, sort_keys=True)
        (staged / "summary.json").write_text(text, encoding="utf-8")
        for name in ("means", "against", "pairs", "by_kind", "alarms", "diversity", "turns"):
            if summary[name]:
                pq.write_table(pa.Table.from_pylist(summary[name]), staged / f"{name}.parquet")
        if cases is not None:
            pq.write_table(cases, staged / "cases.parquet")
        elif (folder / "cases.parquet").is_file():
            shutil.copyfile(folder / "cases.parquet", staged / "cases.parquet")
        shutil.rmtree(folder, ignore_errors=True)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    _point_latest(folder)


def _point_latest(folder: Path) -> None:
    """`reports/latest` is a link to the report written last."""
    link, fresh = folder.parent / "latest", folder.parent / f".latest.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(folder.name)
    os.replace(fresh, link)
