"""What votes say: win/tie/lose, Bradley–Terry strengths, agreement between voters and with metrics.

A vote is (voter, pair, first, second, choice) with choice in first, second, tie, skip; a skip is
no judgement and counts nowhere.

Leaves out: storing votes (the warehouse) and showing pairs (`app.voting`).
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from models.evaluation.statistics import Resampler
from schemas.evaluation import EvaluationSettings

CODES = {"first": 1, "tie": 0, "second": -1}


def judged(votes: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The votes that are judgements."""
    return [vote for vote in votes if vote["choice"] in CODES]


def tallies(votes: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], Counter[str]]:
    """(first, second) → counts of first, second and tie."""
    found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for vote in judged(votes):
        found[vote["first_method"], vote["second_method"]][vote["choice"]] += 1
    return dict(found)


def win_rates(
    votes: Sequence[Mapping[str, Any]], clusters: Mapping[str, str], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Win/tie/lose of each pair of methods, the win rate (a tie is half a win) with its interval.

    `clusters` is case id → root prompt: votes on one prompt are resampled together.
    """
    rows = []
    for (first, second), tally in sorted(tallies(votes).items()):
        of_pair = [v for v in judged(votes)
                   if (v["first_method"], v["second_method"]) == (first, second)]  # fmt: skip
        wins = np.array([CODES[vote["choice"]] / 2 for vote in of_pair])
        resampler = Resampler([clusters[vote["case_id"]] for vote in of_pair], settings.resamples,
                              settings.bootstrap_seed, settings.confidence)  # fmt: skip
        found = resampler.estimate(wins[None, :, None])
        bounds = [None if np.isnan(end[0]) else float(np.clip(end[0] + 0.5, 0, 1))
                  for end in (found.low, found.high)]  # fmt: skip
        rows.append(
            {"method": first, "baseline": second, "first": tally["first"], "tie": tally["tie"],
             "second": tally["second"], "win_rate": float(found.mean[0] + 0.5),
             "low": bounds[0], "high": bounds[1]}
        )  # fmt: skip
    return rows


def bradley_terry(
    counts: Mapping[tuple[str, str], Mapping[str, int]], rounds: int = 10_000
) -> dict[str, float]:
    """Strengths in logits, mean zero: P(a beats b) = 1 / (1 + exp(s_b − s_a)); a tie is half a win.

    By minorisation–maximisation (Hunter 2004).  A method that won or lost everything has no finite
    strength; so every pair that met gets half a win each way on top, our choice.
    """
    names = sorted({name for pair in counts for name in pair})
    place = {name: i for i, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for (first, second), tally in counts.items():
        a, b = place[first], place[second]
        half = tally.get("tie", 0) / 2 + 0.5
        wins[a, b] += tally.get("first", 0) + half
        wins[b, a] += tally.get("second", 0) + half
    played = wins + wins.T
    strength = np.ones(len(names))
    for _ in range(rounds):
        shared = played / (strength[:, None] + strength[None, :])
        fresh = wins.sum(axis=1) / np.maximum(shared.sum(axis=1), 1e-12)
        fresh /= np.exp(np.log(fresh).mean())
        done = np.abs(np.log(fresh / strength)).max() < 1e-10
        strength = fresh
        if done:
            break
    return {name: float(np.log(strength[place[name]])) for name in names}


def cohen_kappa(one: Sequence[Any], two: Sequence[Any]) -> float | None:
    """Agreement of two voters on the same items beyond chance; None where all is chance."""
    if len(one) != len(two):
        raise ValueError(f"{len(one)} judgements but {len(two)}: they must be of the same items.")
    if not one:
        return None
    observed = sum(a == b for a, b in zip(one, two, strict=True)) / len(one)
    first, second = Counter(one), Counter(two)
    expected = sum(first[k] * second[k] for k in first) / len(one) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(items: Sequence[Sequence[Any]]) -> float | None:
    """Nominal alpha (Krippendorff 2011) of judgements by item; voters may miss items.

    None where fewer than two judgements meet on any item, or all judgements are the same.
    """
    together: dict[tuple[Any, Any], float] = defaultdict(float)
    for values in items:
        if len(values) > 1:
            for i, a in enumerate(values):
                for j, b in enumerate(values):
                    if i != j:
                        together[a, b] += 1 / (len(values) - 1)
    totals: dict[Any, float] = defaultdict(float)
    for (a, _), count in together.items():
        totals[a] += count
    n = sum(totals.values())
    expected = n**2 - sum(count**2 for count in totals.values())
    if n <= 1 or expected <= 0:
        return None
    observed = sum(count for (a, b), count in together.items() if a != b)
    return 1 - (n - 1) * observed / expected


def agreement(votes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Krippendorff's alpha over all voters and Cohen's kappa of each two that share pairs."""
    by_item: dict[str, dict[str, str]] = defaultdict(dict)
    for vote in judged(votes):
        by_item[vote["pair_id"]][vote["voter"]] = vote["choice"]
    voters = sorted({voter for answers in by_item.values() for voter in answers})
    pairs = []
    for one, two in combinations(voters, 2):
        shared = [a for a in by_item.values() if one in a and two in a]
        if shared:
            kappa = cohen_kappa([a[one] for a in shared], [a[two] for a in shared])
            pairs.append({"voters": f"{one}, {two}", "pairs": len(shared), "kappa": kappa})
    alpha = krippendorff_alpha([list(answers.values()) for answers in by_item.values()])
    return {"voters": len(voters), "alpha": alpha, "pairs": pairs}


def metric_agreement(
    votes: Sequence[Mapping[str, Any]], gaps: Mapping[str, Mapping[str, float]]
) -> list[dict[str, Any]]:
    """How often each metric prefers what people preferred.

    `gaps` is metric → pair_id → value(first) − value(second).  Ties of people say nothing here; a
    gap of exactly zero counts as half right.
    """
    rows = []
    decided = [vote for vote in judged(votes) if vote["choice"] != "tie"]
    for metric, of_pair in gaps.items():
        right = [
            0.5 + 0.5 * np.sign(of_pair[vote["pair_id"]]) * CODES[vote["choice"]]
            for vote in decided
            if vote["pair_id"] in of_pair and np.isfinite(of_pair[vote["pair_id"]])
        ]
        if right:
            rows.append(
                {"metric": metric, "agrees": float(np.mean(right)), "judgements": len(right)}
            )
    return sorted(rows, key=lambda row: -row["agrees"])
