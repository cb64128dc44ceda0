"""What is measured of one answer, and which way is better.

Text is measured here; pictures are measured by the scorers, whose names for a report are here too.
`held_out` is a scorer that neither the reward nor decide ever read: gains that it does not share
are gains in the scorer, not in the picture.

Leaves out: means and intervals (`statistics`), detectors of reward hacking (`hacking`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

import numpy as np

from models.integrity import analyse, content_integrity
from models.integrity.lexicon import word_sets
from schemas.units import Unit


class Metric(NamedTuple):
    """A column of the report."""

    name: str
    label: str
    group: str  # picture, text, cost, look
    better: int  # 1: larger, -1: smaller, 0: neither


METRICS = (
    Metric("preference", "preference", "picture", 1),
    Metric("aesthetics", "aesthetics", "picture", 1),
    Metric("alignment", "alignment to the intent", "picture", 1),
    Metric("held_out", "held-out preference", "picture", 1),
    Metric("image_integrity", "units seen in the picture", "picture", 1),
    Metric("integrity", "content integrity", "text", 1),
    Metric("instruction", "instruction followed", "text", 1),
    Metric("untouched", "untouched content kept", "text", 1),
    Metric("overflow", "over the token budget or not rendered", "cost", -1),
    Metric("words", "words", "cost", 0),
    Metric("extra", "phrases nobody asked for", "cost", 0),
    Metric("style_words", "words of style", "look", 0),
    Metric("saturation", "saturation", "look", 0),
    Metric("centred", "subject in the centre", "look", 0),
    Metric("sharpness", "sharpness", "look", 0),
    Metric("latency_ms", "latency, ms", "cost", -1),
    Metric("tokens", "tokens written", "cost", 0),
)
BY_NAME = {metric.name: metric for metric in METRICS}
SHARES = (
    "image_integrity", "integrity", "instruction", "untouched", "lost", "overflow", "saturation",
)  # fmt: skip
AMOUNTS = ("words", "extra", "style_words", "sharpness", "latency_ms", "tokens")
PICTURE_SCORES = ("aesthetics", "preference", "alignment", "held_out")
TRAITS = ("saturation", "centred", "sharpness")
MISSING = -0.5  # a picture within this many σ of the raw one still shows a kept unit; our choice


def possible(name: str) -> tuple[float, float]:
    """The least and the largest value that a metric can have."""
    return 0.0 if name in SHARES + AMOUNTS else -inf, 1.0 if name in SHARES else inf


def text_metrics(
    case: Mapping[str, Any], prompt: str, count_tokens: Callable[[str], int], budget: int
) -> dict[str, float]:
    """Metrics of a prompt written for a case."""
    units = [Unit(unit["role"], unit["text"]) for unit in case["units"]]
    allowed = f"{case['raw_prompt']} {case['instruction']} {case['target_prompt'] or ''}"
    found = content_integrity(units, prompt, allowed)
    missed = {miss.unit for miss in found.misses}
    kept = [unit for unit in units if unit.role == "keep"]
    asked = [unit for unit in units if unit.role != "keep"]
    return {
        "integrity": found.score,
        # With nothing to check (an edit of looks alone), following cannot be told from the text.
        "instruction": float(not any(u in missed for u in asked)) if asked else np.nan,
        "untouched": 1 - sum(u in missed for u in kept) / len(kept) if kept else np.nan,
        "overflow": float(count_tokens(prompt) > budget),
        "words": float(len(analyse(prompt).words)),
        "extra": float(len(found.extra)),
        "style_words": float(style_words(prompt)),
    }


def style_words(prompt: str) -> int:
    """Words of looks: quality, light, medium, as the lexicon has them."""
    style = word_sets().style
    return sum(word.lemma in style for word in analyse(prompt).words)


def distinct_bigrams(prompts: Sequence[str]) -> float:
    """Share of two-word sequences that are different (Li et al. 2016); NaN for none."""
    words = [re.findall(r"\w+", text.lower()) for text in prompts]
    pairs = [pair for text in words for pair in pairwise(text)]
    return len(set(pairs)) / len(pairs) if pairs else float("nan")


def image_integrity(
    units: Sequence[Mapping[str, str]],
    of_picture: Mapping[str, float],
    of_raw: Mapping[str, float],
    sigma: float,
) -> float:
    """Share of the units that the picture shows as it should, against the raw prompt's picture.

    Both map a unit's text to what the alignment scorer says of the picture, averaged over seeds.
    An added unit must score higher than on the raw picture, a removed one lower, a kept one no
    less than 0.5 σ below; σ is the spread of the raw pictures' scores.  NaN without units.
    A sentinel: the scorer is no detector, so single cases say little, means over methods do.
    """
    seen = []
    for unit in units:
        text = unit["text"]
        if text not in of_picture or text not in of_raw:
            continue
        change = of_picture[text] - of_raw[text]
        rule = {"add": change > 0, "remove": change < 0, "keep": change > MISSING * sigma}
        seen.append(rule[unit["role"]])
    return float(np.mean(seen)) if seen else float("nan")
