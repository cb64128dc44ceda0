"""The statistics against SciPy, and by simulation: coverage, ties, clusters, seeds."""

import numpy as np
import pytest
from scipy import stats

from models.evaluation.statistics import Resampler, holm, outcomes, verdict


def resampler(clusters, resamples=2_000, seed=0):
    return Resampler([str(c) for c in clusters], resamples, seed, 0.95)


def test_a_paired_comparison_agrees_with_scipy():
    rng = np.random.default_rng(1)
    base = rng.normal(size=60)
    other = base + 0.3 + rng.normal(scale=0.8, size=60)
    found = resampler(range(60), 8_000).estimate(other[None, :, None], base[None, :, None])
    known = stats.ttest_rel(other, base)
    low, high = known.confidence_interval(0.95)
    assert found.mean[0] == pytest.approx((other - base).mean())
    assert [found.low[0], found.high[0]] == pytest.approx([low, high], abs=0.02)
    assert found.p[0] == pytest.approx(known.pvalue, rel=0.25)


def test_the_standard_error_is_scipys_bootstrap_standard_error():
    rng = np.random.default_rng(2)
    values = rng.exponential(size=40)
    reference = stats.bootstrap((values,), np.mean, n_resamples=5_000, rng=rng).standard_error
    found = resampler(range(40), 5_000).estimate(values[None, :, None])
    half = stats.t.ppf(0.975, 39) * reference * np.sqrt(40 / 39)
    assert found.high[0] - found.mean[0] == pytest.approx(half, rel=0.05)


def test_cases_of_one_prompt_do_not_count_as_many():
    rng = np.random.default_rng(3)
    values = np.repeat(rng.normal(size=20), 10)
    apart = resampler(range(200)).estimate(values[None, :, None])
    together = resampler(np.repeat(np.arange(20), 10)).estimate(values[None, :, None])
    widths = [(found.high - found.low)[0] for found in (apart, together)]
    assert widths[1] == pytest.approx(widths[0] * np.sqrt(10), rel=0.15)


def test_training_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(4)
    case = rng.normal(size=(1, 50, 1))
    same = np.repeat(case, 3, axis=0)
    differ = same + np.array([-0.5, 0.0, 0.5])[:, None, None]
    one, two = (resampler(range(50)).estimate(v, np.zeros((1, 50, 1))) for v in (same, differ))
    assert one.mean[0] == pytest.approx(two.mean[0])
    assert (two.high - two.low)[0] > 2 * (one.high - one.low)[0]


def test_missing_values_are_left_out_and_too_few_prompts_have_no_interval():
    values = np.arange(10.0)
    values[3:] = np.nan
    found = resampler(range(10)).estimate(values[None, :, None])
    assert (found.mean[0], found.cases[0]) == (1.0, 3)
    assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()
    assert verdict(1.0, float("nan"), 0.95, True) == "too few cases"


def test_a_method_against_itself_is_a_tie():
    values = np.random.default_rng(5).normal(size=(1, 30, 2))
    found = resampler(range(30)).estimate(values, values)
    assert (found.mean == 0).all()
    assert (found.p == 1).all()
    assert verdict(0.0, 1.0, 0.95, True) == "tie"


def test_holm_is_the_published_example():
    # Holm (1979) step down, worked by hand: 4, 3, 2 and 1 times the sorted values.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    adjusted = holm([0.5, float("nan"), 0.9])
    assert adjusted[[0, 2]] == pytest.approx([1.0, 1.0])
    assert np.isnan(adjusted[1])
    assert len(holm([])) == 0


def test_outcomes_know_a_margin_and_what_is_missing():
    found = outcomes(np.array([0.2, -0.2, 0.05, np.nan]), 0.1)
    assert found[:3].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(found[3])


def coverage(experiments: int, seeds: int, effect: float) -> tuple[float, float]:
    """(share of intervals that hold the true effect, share of verdicts that are a tie)."""
    rng = np.random.default_rng(6)
    held = ties = 0
    for number in range(experiments):
        prompt = rng.normal(scale=0.5, size=(1, 20, 1)).repeat(2, axis=1)
        base = prompt + rng.normal(size=(1, 40, 1))
        method = base + effect + rng.normal(scale=0.7, size=(seeds, 40, 1))
        method += rng.normal(scale=0.2 * (seeds > 1), size=(seeds, 1, 1))
        clusters = np.repeat(np.arange(20), 2)
        found = resampler(clusters, 400, number).estimate(method, base)
        held += found.low[0] <= effect <= found.high[0]
        ties += verdict(found.mean[0], found.p[0], 0.95, True) == "tie"
    return held / experiments, ties / experiments


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_and_identical_systems_tie(seeds):
    held, _ = coverage(200, seeds, 0.4)
    _, ties = coverage(200, seeds, 0.0)
    # Three standard errors of a share of 0.95 over 200 experiments are 0.046.
    assert 0.904 <= held <= 1.0
    assert 0.904 <= ties <= 1.0


@pytest.mark.slow
def test_intervals_cover_at_the_nominal_rate_over_a_thousand_experiments():
    held, _ = coverage(1_000, 1, 0.4)
    _, ties = coverage(1_000, 1, 0.0)
    # Three standard errors over 1,000 experiments are 0.021.
    assert held == pytest.approx(0.95, abs=0.021)
    assert ties == pytest.approx(0.95, abs=0.021)
    # With few training seeds the interval is conservative: never under the nominal rate.
    held, _ = coverage(1_000, 3, 0.4)
    assert held >= 0.95 - 0.021
