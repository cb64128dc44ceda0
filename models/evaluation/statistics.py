"""Paired comparisons: cluster bootstrap over cases, training seeds above them, Holm's correction.

Every method answers the same cases with the same seeds, so a comparison is a mean of differences.
What varies is drawn at two levels.  *Cases* are resampled with replacement by cluster (all cases
of one root prompt together: they are not independent), with the same resample for both sides.
*Training seeds* are few, so resampling them would see (R − 1)/R of their variance; their standard
error is taken from their means instead.  The interval is mean ± √Σ (tᵢ · errorᵢ)², each level with
Student's t of its own degrees of freedom (as in Graybill & Wang's modified large-sample intervals);
with two or three seeds it is wide, because two or three seeds say little.  The bootstrap's error of
C clusters is too small by √((C − 1)/C), which is undone (Efron & Tibshirani 1993, ch. 11).

Leaves out: what the columns mean (`metrics`), and anything Bayesian.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

FEWEST_CLUSTERS = 5  # below this no interval is given; our choice


class Estimate(NamedTuple):
    """Per column: mean, interval, two-sided p of "zero", cases that have a value."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    cases: np.ndarray


class Resampler:
    """The resamples of one evaluation: `weights` is (B, N), how often each case was drawn."""

    def __init__(self, clusters: Sequence[str], resamples: int, seed: int, confidence: float):
        names, index = np.unique(
            np.asarray(clusters, dtype=object).astype(str), return_inverse=True
        )
        self.index = index
        self.clusters = len(names)
        self.confidence = confidence
        rng = np.random.default_rng(seed)
        counts = np.zeros((resamples, self.clusters), dtype=np.float32)
        for row in counts:  # one row at a time: 2,000 × 10,000 indices at once are 160 MB
            drawn = rng.integers(self.clusters, size=self.clusters)
            row += np.bincount(drawn, minlength=self.clusters)
        self.weights = counts[:, index]

    def estimate(self, values: np.ndarray, baseline: np.ndarray | None = None) -> Estimate:
        """Means of `values` (R, N, K), or of their differences to `baseline` (R', N, K).

        R training seeds, N cases, K columns; NaN is a value that is not there, and a case without
        one on either side is left out of that column.
        """
        sides = [np.asarray(values, dtype=float)]
        per_case = _seed_mean(sides[0])
        if baseline is not None:
            sides.append(np.asarray(baseline, dtype=float))
            per_case = per_case - _seed_mean(sides[1])
        there = np.isfinite(per_case)
        mean, case_variance = self._cases(per_case, there)
        clusters = self._clusters_with(there)
        parts = [(case_variance, np.maximum(clusters - 1, 1))]
        for side in sides:
            if len(side) > 1:
                parts.append((_seed_variance(side, there), np.full(len(mean), len(side) - 1.0)))
        return self._interval(mean, parts, clusters, there.sum(axis=0))

    def _cases(self, per_case: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean (K,) and the variance (K,) of its resamples, corrected for few clusters."""
        filled = np.where(there, per_case, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = filled.sum(axis=0) / there.sum(axis=0)
            # Centred first: float32 sums of small differences around zero keep their digits.
            centred = np.where(there, per_case - mean, 0.0).astype(np.float32)
            weights = self.weights @ there.astype(np.float32)
            draws = ((self.weights @ centred) / weights).astype(float)
            known = np.isfinite(draws)  # a resample may hold no case that has a value
            squares = np.where(known, draws, 0.0) ** 2
            clusters = self._clusters_with(there)
            # About the mean itself, not the draws': the same but for noise.
            variance = squares.sum(axis=0) / known.sum(axis=0) * clusters / (clusters - 1)
        return mean, variance

    def _clusters_with(self, there: np.ndarray) -> np.ndarray:
        """How many clusters have a value, by column."""
        return np.array([len(np.unique(self.index[column])) for column in there.T], dtype=float)

    def _interval(
        self,
        mean: np.ndarray,
        parts: list[tuple[np.ndarray, np.ndarray]],
        clusters: np.ndarray,
        cases: np.ndarray,
    ) -> Estimate:
        from scipy import special  # `scipy.stats` would take a second to import

        def half(p: np.ndarray) -> np.ndarray:
            """Half the width of the interval that leaves out `p`."""
            reach = [special.stdtrit(freedom, p / 2) ** 2 * error for error, freedom in parts]
            return np.sqrt(sum(reach))

        width = half(np.full(len(mean), 1 - self.confidence))
        p = _invert(half, np.abs(mean))
        few = clusters < FEWEST_CLUSTERS
        low, high = np.where(few, np.nan, mean - width), np.where(few, np.nan, mean + width)
        return Estimate(mean, low, high, np.where(few, np.nan, p), cases)


def _invert(half: Callable[[np.ndarray], np.ndarray], distance: np.ndarray) -> np.ndarray:
    """The p (K,) at which the interval just reaches zero; 1 where the mean is zero itself."""
    low, high = np.full(len(distance), -700.0), np.zeros(len(distance))  # of log p
    for _ in range(60):
        middle = (low + high) / 2
        with np.errstate(invalid="ignore", over="ignore"):
            inside = half(np.exp(middle)) >= distance
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(distance == 0, 1.0, np.where(np.isfinite(distance), np.exp(low), np.nan))


def _seed_mean(values: np.ndarray) -> np.ndarray:
    """(R, N, K) to (N, K): a case that any training seed lacks is lacking."""
    return values.mean(axis=0)


def _seed_variance(values: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Variance of the mean over R training seeds, by column: s² of their means, over R."""
    counts = np.maximum(there.sum(axis=0), 1)
    means = np.where(there, values, 0.0).sum(axis=1) / counts
    return means.var(axis=0, ddof=1) / len(values)


def outcomes(difference: np.ndarray, margin: float) -> np.ndarray:
    """1 for a win, 0.5 for a tie (|difference| ≤ margin), 0 for a loss, NaN where unknown."""
    with np.errstate(invalid="ignore"):
        decided = np.where(difference > margin, 1.0, np.where(difference < -margin, 0.0, 0.5))
    return np.where(np.isfinite(difference), decided, np.nan)


def holm(p: Sequence[float]) -> np.ndarray:
    """Adjusted p-values (Holm 1979): the chance of any false find is kept; NaN stays NaN."""
    values = np.asarray(p, dtype=float)
    adjusted = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted


def verdict(mean: float, p_adjusted: float, confidence: float, larger_is_better: bool) -> str:
    """better, worse or tie; "too few cases" where there is no p."""
    if not np.isfinite(p_adjusted):
        return "too few cases"
    if p_adjusted > 1 - confidence or mean == 0:
        return "tie"
    return "better" if (mean > 0) == larger_is_better else "worse"
