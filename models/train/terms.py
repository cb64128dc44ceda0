"""What a step of reinforcement learning reports, and when a run must stop."""

import math
from collections.abc import Sequence

from models.integrity import content_integrity
from models.train.distributed import gathered
from models.train.reward import Scored
from models.train.rollout import HARD_NEGATIVE, ON_POLICY, POSITIVE, Rollout
from schemas.training import RlSettings


def of_answers(scored: Sequence[Scored]) -> dict[str, float]:
    """Means over answers; gains are those of answers that were rendered."""
    if not scored:
        return {}
    known = [row for row in scored if not row.too_long]
    return _known_only(
        {
            "reward": _mean([row.total for row in scored]),
            "integrity": _mean([row.integrity for row in scored]),
            "tokens": _mean([row.tokens for row in scored]),
            "length_penalty": _mean([row.length_penalty for row in scored]),
            "repeats": _mean([row.repeats for row in scored]),
            "too_long": _mean([row.too_long for row in scored]),
            "aesthetic_gain": _mean([row.gains[0] for row in known]),
            "preference_gain": _mean([row.gains[1] for row in known]),
        }
    )


def summary(rollout: Rollout, scored: Sequence[Scored]) -> dict[str, float]:
    """Means over the on-policy rows, and what the off-policy ones earned."""

    def rows(kind: str) -> list[Scored]:
        return [row for row, its in zip(scored, rollout.kinds, strict=True) if its == kind]

    others = {
        f"reward_{kind}": _mean([row.total for row in rows(kind)])
        for kind in (POSITIVE, HARD_NEGATIVE)
    }
    others["negatives_missing"] = _mean(_missing(rollout))
    unfinished = 1 - float(rollout.finished_B.float().mean())
    found = of_answers(rows(ON_POLICY)) | _known_only(others)
    return found | {"unfinished": unfinished, "rows": float(len(rollout))}


def _missing(rollout: Rollout) -> list[bool]:
    """Of each hard negative, whether it lacks a unit it should have: what makes it one."""
    return [
        content_integrity(question.units, text).recall < 1
        for kind, question, text in zip(
            rollout.kinds, rollout.questions, rollout.texts, strict=True
        )
        if kind == HARD_NEGATIVE
    ]


def _known_only(terms: dict[str, float | None]) -> dict[str, float]:
    """Without the means of nothing."""
    return {name: number for name, number in terms.items() if number is not None}


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def shared(terms: dict[str, float]) -> dict[str, float]:
    """The terms' means over processes, the same on each: they decide how the run goes on."""
    everyone = gathered([terms])
    names = dict.fromkeys(name for its in everyone for name in its)
    found = {name: [its[name] for its in everyone if name in its] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}


def diverged(terms: dict[str, float], settings: RlSettings) -> str | None:
    """Why a run must stop, in words, or None."""
    checked = ("reward", "kl", "policy_loss", "value_loss", "gradient_norm", "value_gradient_norm")
    for name in checked:
        if name in terms and not math.isfinite(terms[name]):
            return f"{name} is {terms[name]}"
    if terms["kl"] > settings.kl_limit:
        return (
            f"the KL to the starting model is {terms['kl']:.1f} nats an answer, over rl.kl_limit "
            f"{settings.kl_limit}: lower rl.learning_rate or raise rl.kl_coefficient"
        )
    if terms.get("entropy", math.inf) < settings.entropy_floor:
        return (
            f"the entropy fell to {terms['entropy']:.4f} nats a token, under rl.entropy_floor "
            f"{settings.entropy_floor}: lower rl.learning_rate or set rl.entropy_bonus"
        )
    return None
