"""Votes: strengths against a likelihood fitted by SciPy, agreement against published examples."""

from collections import Counter

import numpy as np
import pytest
from scipy.optimize import minimize

from models.evaluation.people import (
    agreement,
    bradley_terry,
    cohen_kappa,
    krippendorff_alpha,
    metric_agreement,
    tallies,
    win_rates,
)
from schemas.evaluation import EvaluationSettings

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), example C: four observers.
OBSERVERS = (
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
)


def vote(pair, voter, choice, first="a", second="b"):
    return {"pair_id": pair, "voter": voter, "choice": choice,
            "first_method": first, "second_method": second}  # fmt: skip


def test_alpha_is_the_published_one():
    rows = [line.split() for line in OBSERVERS]
    items = [[row[i] for row in rows if row[i] != "."] for i in range(12)]
    assert krippendorff_alpha(items) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([["x"], ["y"]]) is None


def test_kappa_is_the_textbook_one():
    # 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: kappa 0.4.
    one = ["y"] * 25 + ["n"] * 25
    two = ["y"] * 20 + ["n"] * 5 + ["y"] * 10 + ["n"] * 15
    assert cohen_kappa(one, two) == pytest.approx(0.4)
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa(["y"], [])


def test_strengths_maximise_the_likelihood():
    counts = {
        ("a", "b"): Counter(first=14, second=6, tie=4),
        ("a", "c"): Counter(first=18, second=3, tie=1),
        ("b", "c"): Counter(first=11, second=9, tie=2),
    }
    names = ["a", "b", "c"]

    def loss(free):
        strength = dict(zip(names, [0.0, *free], strict=True))
        total = 0.0
        for (one, two), tally in counts.items():
            gap = strength[one] - strength[two]
            wins = tally["first"] + tally["tie"] / 2 + 0.5
            losses = tally["second"] + tally["tie"] / 2 + 0.5
            total += wins * np.log1p(np.exp(-gap)) + losses * np.log1p(np.exp(gap))
        return total

    fitted = np.array([0.0, *minimize(loss, [0.0, 0.0]).x])
    found = bradley_terry(counts)
    assert [found[n] for n in names] == pytest.approx(list(fitted - fitted.mean()), abs=1e-4)


def test_a_method_that_won_everything_has_a_finite_strength():
    found = bradley_terry({("a", "b"): Counter(first=5)})
    assert found["a"] > found["b"]
    assert np.isfinite(list(found.values())).all()


def test_skips_are_no_judgements():
    votes = [vote("1", "ann", "first"), vote("1", "bob", "skip"), vote("2", "ann", "tie")]
    assert tallies(votes) == {("a", "b"): Counter(first=1, tie=1)}
    assert agreement(votes)["voters"] == 1


def test_metrics_are_asked_whether_they_prefer_what_people_preferred():
    votes = [vote("1", "ann", "first"), vote("2", "ann", "second"), vote("3", "ann", "tie")]
    gaps = {"good": {"1": 0.5, "2": -0.1}, "bad": {"1": -1.0, "2": 0.0}}
    assert metric_agreement(votes, gaps) == [
        {"metric": "good", "agrees": 1.0, "judgements": 2},
        {"metric": "bad", "agrees": 0.25, "judgements": 2},
    ]


def test_win_rates_have_intervals_by_prompt():
    votes = [
        vote(str(i), voter, "first" if i % 4 else "second") | {"case_id": str(i)}
        for i in range(40) for voter in ("ann", "bob")
    ]  # fmt: skip
    clusters = {str(i): f"root {i // 2}" for i in range(40)}
    [row] = win_rates(votes, clusters, EvaluationSettings())
    assert (row["first"], row["second"], row["win_rate"]) == (60, 20, 0.75)
    assert 0.6 < row["low"] < 0.75 < row["high"] < 0.9
