"""From what was observed to the numbers of a report: tables of plain rows, in one dictionary.

`Observed` holds one text-to-image model's values; `summarise` compares every method with the raw
prompt and with each other.  A column of the report is a group: one method, or several model
versions that differ only in their training seed.

A case for which a method has no picture is left out of that method's mean differences, counts as
its loss in win/tie/lose, and stands in the column `overflow`: dropping it in silence would reward
prompts that cannot be rendered.

Leaves out: gathering (the warehouse's), charts and words (reports').
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from models.evaluation.hacking import alarm_rows, alarms
from models.evaluation.metrics import BY_NAME, METRICS, distinct_bigrams, possible
from models.evaluation.statistics import Estimate, Resampler, holm, outcomes, verdict
from schemas.evaluation import EvaluationSettings

NAMES = [metric.name for metric in METRICS]
COMPARED = [metric.name for metric in METRICS if metric.better and metric.name != "latency_ms"]
PAIRED = ["preference", "held_out", "aesthetics", "alignment", "integrity"]
BY_KIND = ["preference", "held_out", "aesthetics", "integrity", "instruction", "untouched"]
FEWEST_OF_A_KIND = 3  # cases; of fewer no row is shown
Row = dict[str, Any]


class Observed(NamedTuple):
    """Values under one text-to-image model: (methods, cases, metrics), NaN where there is none."""

    tis: str
    values: np.ndarray


class Column(NamedTuple):
    """A column of the report: its name, kind, and which methods (training seeds) it holds."""

    name: str
    kind: str
    members: tuple[int, ...]


class Comparison:
    """One text-to-image model's part of a report."""

    def __init__(
        self,
        observed: Observed,
        columns: Sequence[Column],
        resampler: Resampler,
        settings: EvaluationSettings,
    ):
        self.tis, self.settings, self.resampler = observed.tis, settings, resampler
        self.of = {c.name: observed.values[list(c.members)] for c in columns}
        self.columns = columns
        raw = next(column for column in columns if column.kind == "raw")
        self.raw = raw.name
        with np.errstate(invalid="ignore"):
            self.sigma = _nanstd(self.of[self.raw][0])

    def means(self) -> list[Row]:
        """Every metric of every column, with its interval."""
        rows = []
        for column in self.columns:
            found = self.resampler.estimate(self.of[column.name])
            for i, name in enumerate(NAMES):
                if found.cases[i]:
                    row = {"tis": self.tis, "method": column.name, "metric": name}
                    rows.append(row | _mean(found, i, name))
        return rows

    def against(self, name: str, base: str, metrics: Sequence[str]) -> list[Row]:
        """Differences and win/tie/lose of column `name` to column `base`."""
        one, two = self._chosen(name, metrics), self._chosen(base, metrics)
        gap = self.resampler.estimate(one, two)
        wins = np.stack([self._outcomes(seed, two, metrics) for seed in one])
        rate = self.resampler.estimate(wins - 0.5)
        rows = []
        for i, metric in enumerate(metrics):
            if not gap.cases[i]:
                continue
            each = wins[:, :, i]
            shares = {
                word: float(np.mean(each[np.isfinite(each)] == value))
                for word, value in (("win", 1.0), ("tie", 0.5), ("lose", 0.0))
            }
            rows.append(
                {"tis": self.tis, "method": name, "baseline": base, "metric": metric}
                | _difference(gap, i, metric)
                | {"p": _number(gap.p[i])}
                | shares
                | {
                    "win_rate": _number(rate.mean[i] + 0.5),
                    "win_low": _number(np.clip(rate.low[i] + 0.5, 0, 1)),
                    "win_high": _number(np.clip(rate.high[i] + 0.5, 0, 1)),
                }
            )
        return rows

    def by_kind(self, name: str, kinds: Sequence[str]) -> list[Row]:
        """Differences to the raw prompt by kind of edit."""
        rows = []
        labels = np.asarray(kinds)
        for kind in sorted(set(kinds)):
            inside = labels == kind
            if inside.sum() < FEWEST_OF_A_KIND:
                continue
            one = np.where(inside[None, :, None], self._chosen(name, BY_KIND), np.nan)
            gap = self.resampler.estimate(one, self._chosen(self.raw, BY_KIND))
            for i, metric in enumerate(BY_KIND):
                if gap.cases[i]:
                    rows.append(
                        {"tis": self.tis, "method": name, "edit_kind": kind, "metric": metric}
                        | _difference(gap, i, metric)
                        | {"mean": _number(np.nanmean(one[:, :, i]))}
                    )
        return rows

    def _chosen(self, name: str, metrics: Sequence[str]) -> np.ndarray:
        return self.of[name][:, :, [NAMES.index(metric) for metric in metrics]]

    def _outcomes(self, one: np.ndarray, two: np.ndarray, metrics: Sequence[str]) -> np.ndarray:
        """(N, K) of 1, ½, 0; a side without a value loses to one that has it."""
        base = two.mean(axis=0)
        result = np.full(one.shape, np.nan)
        for i, metric in enumerate(metrics):
            sign = BY_NAME[metric].better or 1
            sigma = self.sigma[NAMES.index(metric)]
            picture = BY_NAME[metric].group == "picture" and np.isfinite(sigma)
            margin = self.settings.tie_margin * sigma if picture else 1e-9
            result[:, i] = outcomes(sign * (one[:, i] - base[:, i]), margin)
            have, other = np.isfinite(one[:, i]), np.isfinite(base[:, i])
            if picture:
                result[:, i] = np.where(~have & other, 0.0, result[:, i])
                result[:, i] = np.where(have & ~other, 1.0, result[:, i])
        return result


def summarise(
    observed: Sequence[Observed],
    columns: Sequence[Column],
    cases: Sequence[Mapping[str, Any]],
    prompts: Sequence[Mapping[str, str]],
    settings: EvaluationSettings,
) -> Row:
    """The tables of a report; `prompts` is, for each method, case id → what it wrote.

    The first of `observed` is the main text-to-image model, the others are transfer.
    """
    clusters = [case["cluster_id"] for case in cases]
    resampler = Resampler(
        clusters, settings.resamples, settings.bootstrap_seed, settings.confidence
    )
    tables: Row = {name: [] for name in ("means", "against", "pairs", "by_kind", "alarms")}
    kinds = [case["edit_kind"] for case in cases]
    for number, one in enumerate(observed):
        part = Comparison(one, columns, resampler, settings)
        tables["means"] += part.means()
        against, pairs = [], []
        for column in columns:
            if column.name != part.raw:
                against += part.against(column.name, part.raw, COMPARED)
        for first, second in combinations(columns, 2):
            pairs += part.against(first.name, second.name, PAIRED)
        for rows in (against, pairs):
            _judge(rows, settings.confidence)
        tables["against"] += against
        if number == 0:
            tables["pairs"] = pairs
            for column in columns:
                if column.name != part.raw:
                    tables["by_kind"] += part.by_kind(column.name, kinds)
            tables["alarms"] = _alarms(part, columns, cases, prompts)
    tables["diversity"] = _diversity(columns, prompts)
    return {"cases": len(cases), "clusters": resampler.clusters} | tables


def _judge(rows: list[Row], confidence: float) -> None:
    """Holm's correction over all comparisons of a table, then a word for each."""
    adjusted = holm([np.nan if row["p"] is None else row["p"] for row in rows])
    for row, p in zip(rows, adjusted, strict=True):
        larger = BY_NAME[row["metric"]].better >= 0
        row["p_adjusted"] = _number(p)
        row["verdict"] = verdict(row["difference"], p, confidence, larger)


def _alarms(
    part: Comparison,
    columns: Sequence[Column],
    cases: Sequence[Mapping[str, Any]],
    prompts: Sequence[Mapping[str, str]],
) -> list[Row]:
    means = {
        c.name: dict(zip(NAMES, _nanmean(part.of[c.name].mean(axis=0)), strict=True))
        for c in columns
    }
    means["raw"] = means[part.raw]
    reference = next((c.name for c in columns if c.kind == "teacher"), part.raw)
    sigma = dict(zip(NAMES, part.sigma, strict=True))
    asked = {c["case_id"]: f"{c['raw_prompt']} {c['instruction']}" for c in cases}
    found = []
    for column in columns:
        if column.kind in ("raw", "teacher", "edit", "pasted"):
            continue
        wrote = [(p, asked[i]) for m in column.members for i, p in prompts[m].items() if i in asked]
        found += alarms(
            column.name, reference, means, sigma, [p for p, _ in wrote], [q for _, q in wrote]
        )
    return alarm_rows(found)


def _diversity(columns: Sequence[Column], prompts: Sequence[Mapping[str, str]]) -> list[Row]:
    rows = []
    for column in columns:
        wrote = [text for member in column.members for text in prompts[member].values()]
        if wrote and column.kind != "edit":
            shares = {"distinct_prompts": len(set(wrote)) / len(wrote)}
            bigrams = _number(distinct_bigrams(wrote))
            rows.append({"method": column.name, "distinct_bigrams": bigrams} | shares)
    return rows


def turn_table(
    columns: Sequence[Column],
    cases: Sequence[Mapping[str, Any]],
    metrics: Sequence[Mapping[str, Mapping[str, float]]],
    settings: EvaluationSettings,
) -> list[Row]:
    """Conversations turn by turn: integrity, content lost, words, phrases nobody asked for.

    `metrics` is, for each method, case id → text metrics.  `lost` is the share of what earlier
    turns established, and nobody asked away since, that is missing from the prompt.
    """
    rows = []
    for turn in sorted({case["turn"] for case in cases}):
        asked = [case for case in cases if case["turn"] == turn]
        resampler = Resampler(
            [case["cluster_id"] for case in asked], settings.resamples,
            settings.bootstrap_seed, settings.confidence,
        )  # fmt: skip
        for column in columns:
            names = ("integrity", "untouched", "words", "extra")
            values = np.array(
                [[[metrics[m].get(c["case_id"], {}).get(n, np.nan) for n in names] for c in asked]
                 for m in column.members]
            )  # fmt: skip
            if not np.isfinite(values).any():
                continue
            values[..., 1] = 1 - values[..., 1]
            found = resampler.estimate(values)
            for i, name in enumerate(("integrity", "lost", "words", "extra")):
                if found.cases[i]:
                    row = {"method": column.name, "turn": turn, "metric": name}
                    rows.append(row | _mean(found, i, name))
    return rows


def _mean(found: Estimate, i: int, metric: str) -> Row:
    return {"mean": _number(found.mean[i])} | _interval(found, i, *possible(metric))


def _difference(found: Estimate, i: int, metric: str) -> Row:
    low, high = possible(metric)
    return {"difference": _number(found.mean[i])} | _interval(found, i, low - high, high - low)


def _interval(found: Estimate, i: int, least: float, most: float) -> Row:
    """Ends and number of cases; an end beyond what values can be is cut there."""
    low, high = np.clip((found.low[i], found.high[i]), least, most)
    return {"low": _number(low), "high": _number(high), "cases": int(found.cases[i])}


def _number(value: Any) -> float | None:
    """A number that JSON holds: six digits, None for NaN."""
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _nanmean(values: np.ndarray) -> np.ndarray:
    """(N, K) to (K,) without a warning for columns of nothing."""
    there = np.isfinite(values)
    count = there.sum(axis=0)
    total = np.where(there, values, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _nanstd(values: np.ndarray) -> np.ndarray:
    mean = _nanmean(values)
    return np.sqrt(_nanmean((values - mean) ** 2))
