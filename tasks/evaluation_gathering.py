"""What an evaluation found, gathered from the warehouse into arrays: (method, case, metric)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from models.evaluation.metrics import PICTURE_SCORES, image_integrity, text_metrics
from models.evaluation.summary import NAMES, Column, Observed, Row
from models.tis import load_token_counter
from schemas.settings import TisSettings
from tasks.evaluation_plan import EvaluationPlan, measure_ids, outputs_of
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
        for row in as_tuples(table):
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
            for method, case, unit, value in as_tuples(self.lake.query(UNIT_SCORES, arguments)):
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


def as_tuples(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows as tuples; a dictionary a row would take gigabytes for a million of them."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))
