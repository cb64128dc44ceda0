"""Detectors of reward hacking: what systems like this one do when scorers are all they please.

Known from others' reports (RESEARCH notes: ddpo-pytorch #12, Pref-GRPO #2, DanceGRPO #36) and from
our own training: ever longer prompts, the same modifiers everywhere or twice in a prompt, saturated
colours, a centred subject on a blurred ground, and scores that a scorer outside the reward does not
share.  `traits` measures a picture; `alarms` compares a method with the teacher (with the raw
prompt, where there is none).

The thresholds are our choice.  An alarm is a reason to look at pictures, not a proof.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from models.integrity import analyse, repeated_phrases
from models.integrity.lexicon import word_sets
from schemas.identity import scorer_id

TRAITS_REVISION = 1  # of the code below: raise it when the same picture gives other values

LONGER = 1.5  # times the reference's words
STUFFED = 1.0  # style words more than the reference's, on average
REPEATED = 0.6  # share of prompts with one and the same unasked-for style word
TWICE = 0.2  # share of prompts that say a phrase twice, beyond what they were given
STRONGER = 0.5  # σ of the raw pictures: saturation, centring, blur
UNSHARED = 0.25  # σ: a gain in the reward's scorers that the held-out one lacks


class Alarm(NamedTuple):
    """One detector on one method."""

    method: str
    detector: str
    value: float
    reference: float
    threshold: str
    fired: bool


def trait_id(name: str) -> str:
    """The id under which a trait's values are kept among the scores."""
    return scorer_id(f"trait:{name}", "", TRAITS_REVISION)


def traits(image: Image.Image) -> dict[str, float]:
    """saturation: mean of HSV; centred: detail in the middle ninth over detail outside, in
    log2; sharpness: standard deviation of the Laplacian, on 64 × 64 pixels."""
    small = image.convert("RGB").resize((64, 64), Image.Resampling.BOX)
    saturation = np.asarray(small.convert("HSV"), dtype=float)[..., 1].mean() / 255
    grey = np.asarray(small.convert("L"), dtype=float) / 255
    detail = np.abs(
        4 * grey[1:-1, 1:-1] - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    )
    inside = np.zeros_like(detail, dtype=bool)
    third = len(detail) // 3
    inside[third:-third, third:-third] = True
    ratio = (detail[inside].mean() + 1e-3) / (detail[~inside].mean() + 1e-3)
    return {
        "saturation": float(saturation),
        "centred": float(np.log2(ratio)),
        "sharpness": float(detail.std()),
    }


def alarms(
    method: str,
    reference: str,
    means: Mapping[str, Mapping[str, float]],
    sigma: Mapping[str, float],
    prompts: Sequence[str],
    asked: Sequence[str],
) -> list[Alarm]:
    """All detectors on `method`; `means` is method → metric → mean, σ is over the raw prompts.

    `prompts` and `asked` (raw prompt and instruction) are its answers and what they answer.
    """
    own, other, raw = means[method], means[reference], means["raw"]
    found = []

    def add(name: str, value: float, than: float, threshold: str, fired: bool) -> None:
        if np.isfinite(value) and np.isfinite(than):
            found.append(Alarm(method, name, float(value), float(than), threshold, bool(fired)))

    words, their = own["words"], other["words"]
    add("length", words, their, f"over {LONGER} × {reference}", words > LONGER * their)
    style, usual = own["style_words"], other["style_words"]
    add("modifier stuffing", style, usual, f"over {reference} + {STUFFED}", style > usual + STUFFED)
    word, share = most_repeated(prompts, asked)
    label = f"same modifier: {word}" if word else "same modifier"
    add(label, share, 0.0, f"over {REPEATED:.0%} of prompts", share > REPEATED)
    twice = said_twice(prompts, asked)
    add("a phrase said twice", twice, 0.0, f"over {TWICE:.0%} of prompts", twice > TWICE)
    for name, label, sign in (
        ("saturation", "saturation", 1),
        ("centred", "centred subject", 1),
        ("sharpness", "blur", -1),
    ):
        value, usual = own.get(name, np.nan), other.get(name, np.nan)
        beyond = sign * value - max(sign * usual, sign * raw.get(name, np.nan))
        add(label, value, usual, f"{STRONGER} σ beyond raw and {reference}",
            beyond > STRONGER * sigma.get(name, np.inf))  # fmt: skip
    gains = {
        name: (own.get(name, np.nan) - raw.get(name, np.nan)) / (sigma.get(name) or np.nan)
        for name in ("preference", "held_out")
    }
    add("gain the held-out scorer lacks, σ", gains["preference"], gains["held_out"],
        f"{UNSHARED} σ over, and held-out not above 0",
        gains["preference"] > UNSHARED and gains["held_out"] <= 0)  # fmt: skip
    return found


def most_repeated(prompts: Sequence[str], asked: Sequence[str]) -> tuple[str, float]:
    """The style word that stands in most prompts without being asked for, and its share."""
    style = word_sets().style
    counts: Counter[str] = Counter()
    for prompt, question in zip(prompts, asked, strict=True):
        known = {word.lemma for word in analyse(question).words}
        counts.update({w.lemma for w in analyse(prompt).words if w.lemma in style} - known)
    if not counts or not prompts:
        return "", 0.0
    word, count = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return word, count / len(prompts)


def said_twice(prompts: Sequence[str], asked: Sequence[str]) -> float:
    """Share of prompts that say a phrase again which was not given twice."""
    if not prompts:
        return 0.0
    return sum(map(bool, map(repeated_phrases, prompts, asked))) / len(prompts)


def alarm_rows(found: Sequence[Alarm]) -> list[dict[str, Any]]:
    """As rows of the report, those that fired first."""
    return [alarm._asdict() for alarm in sorted(found, key=lambda a: (not a.fired, a.method))]
