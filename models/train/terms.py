"""What a step of reinforcement learning reports, and when a run must stop."""

import math
from collections.abc import Sequence
from typing import Any

from models.train.reward import Scored
from models.train.rollout import ON_POLICY, POSITIVE, Rollout
from schemas.training import RlSettings


def summary(rollout: Rollout, scored: Sequence[Scored]) -> dict[str, float]:
    """Means over the on-policy rows, and what the off-policy ones earned."""

    def mean(name: str, kind: str) -> float | None:
        rows = [
            getattr(row, name)
            for row, its in zip(scored, rollout.kinds, strict=True)
            if its == kind
        ]
        return sum(rows) / len(rows) if rows else None

    on = [row for row, kind in zip(scored, rollout.kinds, strict=True) if kind == ON_POLICY]
    known = [row for row in on if not row.too_long]
    terms: dict[str, float | None] = {
        "reward": mean("total", ON_POLICY),
        "integrity": mean("integrity", ON_POLICY),
        "tokens": mean("tokens", ON_POLICY),
        "length_penalty": mean("length_penalty", ON_POLICY),
        "too_long": sum(row.too_long for row in on) / max(1, len(on)),
        "aesthetic_gain": _mean([row.gains[0] for row in known]),
        "preference_gain": _mean([row.gains[1] for row in known]),
        "reward_positive": mean("total", POSITIVE),
        "reward_hard_negative": mean("total", "hard_negative"),
        "unfinished": 1 - float(rollout.finished_B.float().mean()),
        "rows": float(len(rollout)),
    }
    return {name: number for name, number in terms.items() if number is not None}


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def shared(terms: dict[str, float], accelerator: Any) -> dict[str, float]:
    """The terms' means over processes, the same on each: they decide how the run goes on."""
    if accelerator.num_processes == 1:
        return terms
    from accelerate.utils import gather_object

    everyone = gather_object([terms])
    names = dict.fromkeys(name for its in everyone for name in its)
    found = {name: [its[name] for its in everyone if name in its] for name in names}
    return {name: sum(numbers) / len(numbers) for name, numbers in found.items()}


def diverged(terms: dict[str, float], settings: RlSettings) -> str | None:
    """Why a run must stop, in words, or None."""
    for name in ("reward", "kl", "policy_loss", "value_loss", "gradient_norm"):
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
