"""May a candidate become champion?  Rules over the numbers of one evaluation; pure.

The comparison is the candidate's with the champion where it took part, else with the raw prompt.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.evaluation import PromotionSettings


class Decision(NamedTuple):
    """Whether it may, and why in words; reasons of a refusal are all there are, not the first."""

    promoted: bool
    reasons: tuple[str, ...]


def decide(
    summary: Mapping[str, Any],
    candidate: str,
    champion: str | None,
    rules: PromotionSettings,
) -> Decision:
    """Apply `rules` to `candidate`, a column of the summary; `champion` another column or None."""
    against = champion or "raw"
    gaps = {r["metric"]: r for r in compared(summary, candidate, champion)}
    means = {
        row["metric"]: row
        for row in summary["means"]
        if row["method"] == candidate and row["tis"] == summary["tis"][0]
    }
    refused: list[str] = []
    if summary["cases"] < rules.min_cases:
        refused.append(f"{summary['cases']} cases, at least {rules.min_cases} are needed")
    for metric in rules.not_worse:
        gap = gaps.get(metric)
        if gap is None or gap["low"] is None:
            refused.append(f"{metric} was not compared with {against}")
        elif gap["high"] < 0:
            refused.append(f"{metric} is worse than {against}'s: {_said(gap)}")
    if rules.better and not any(
        (gaps.get(metric) or {}).get("verdict") == "better" for metric in rules.better
    ):
        refused.append(f"none of {', '.join(rules.better)} is better than {against}'s")
    integrity = (means.get("integrity") or {}).get("mean")
    if rules.min_integrity is not None and (integrity is None or integrity < rules.min_integrity):
        said = "unknown" if integrity is None else f"{integrity:.3f}"
        refused.append(f"content integrity is {said}, at least {rules.min_integrity} is asked")
    overflow = (means.get("overflow") or {}).get("mean") or 0.0
    if overflow > rules.max_overflow:
        refused.append(
            f"{overflow:.1%} of the prompts could not be rendered, {rules.max_overflow:.1%} may"
        )
    fired = [a["detector"] for a in summary["alarms"] if a["method"] == candidate and a["fired"]]
    if len(fired) > rules.max_alarms:
        refused.append(f"alarms: {', '.join(fired)}; {rules.max_alarms} may fire")
    if refused:
        return Decision(False, tuple(refused))
    said = [f"{metric} {_said(gaps[metric])}" for metric in rules.not_worse]
    return Decision(True, (f"against {against}: {'; '.join(said)}",))


def compared(
    summary: Mapping[str, Any], candidate: str, champion: str | None
) -> list[Mapping[str, Any]]:
    """Rows of the main text-to-image model that compare the two, differences candidate − other."""
    if champion is None:
        return [
            row
            for row in summary["against"]
            if row["method"] == candidate and row["tis"] == summary["tis"][0]
        ]
    rows = []
    for row in summary["pairs"]:
        if (row["method"], row["baseline"]) == (candidate, champion):
            rows.append(row)
        elif (row["method"], row["baseline"]) == (champion, candidate):
            rows.append(_turned(row))
    return rows


def _turned(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same comparison from the other side."""
    other = {"better": "worse", "worse": "better"}
    low, high = row["low"], row["high"]
    return dict(row) | {
        "method": row["baseline"],
        "baseline": row["method"],
        "difference": -row["difference"],
        "low": None if high is None else -high,
        "high": None if low is None else -low,
        "win": row["lose"],
        "lose": row["win"],
        "verdict": other.get(row["verdict"], row["verdict"]),
    }


def _said(gap: Mapping[str, Any]) -> str:
    return f"{gap['difference']:+.3f} [{gap['low']:+.3f}, {gap['high']:+.3f}]"
