"""Rows of a report from values that are known."""

import numpy as np

from models.evaluation.summary import NAMES, Column, Observed, summarise
from schemas.evaluation import EvaluationSettings

COLUMNS = [Column("raw", "raw", (0,)), Column("sft", "model", (1,))]


def rows_of(metric: str, raw: list[float], ours: list[float]) -> tuple[dict, dict]:
    """The row of `sft` among the means, and that of its difference to the raw prompt."""
    same = {"edit_kind": "add", "raw_prompt": "a car", "instruction": "add rain"}
    cases = [{"case_id": str(i), "cluster_id": str(i)} | same for i in range(len(raw))]
    values = np.zeros((2, len(raw), len(NAMES)))
    values[:, :, NAMES.index(metric)] = raw, ours
    prompts = [{case["case_id"]: "a car" for case in cases} for _ in COLUMNS]
    settings = EvaluationSettings(resamples=200)
    found = summarise([Observed("tis", values)], COLUMNS, cases, prompts, settings)
    (mean,) = (r for r in found["means"] if (r["method"], r["metric"]) == ("sft", metric))
    (gap,) = (r for r in found["against"] if (r["method"], r["metric"]) == ("sft", metric))
    return mean, gap


def test_an_interval_of_few_cases_stays_where_values_can_be():
    mean, gap = rows_of("instruction", [0.0] * 8, [1.0] * 7 + [0.5])
    assert (mean["mean"], gap["difference"]) == (0.9375, 0.9375)
    assert 0.7 < mean["low"] < 0.9375
    assert mean["high"] == gap["high"] == 1.0
    _, worse = rows_of("instruction", [1.0] * 8, [0.0] * 7 + [0.5])
    assert worse["low"] == -1.0


def test_what_has_no_ends_is_left_as_it_is():
    mean, gap = rows_of("preference", [0.0] * 8, [9.0] * 7 + [5.0])
    assert mean["high"] == gap["high"] > 9.0
