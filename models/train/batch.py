"""A step's rows with all that the update reads, computed once before anything moves.

Old log-probabilities, the KL to the reference, values, advantages by kind of row, and importance
weights.  Leaves out where rows come from (`experience`) and what is done with them (`rl`).
"""

from dataclasses import dataclass, replace
from typing import Any

import torch

from models.train import advantages as adv
from models.train import losses
from models.train.distributed import gathered
from models.train.experience import Step
from models.train.rollout import POSITIVE, Rollout
from models.train.value import ValueHead, expected_integrity
from schemas.training import RlSettings


@dataclass
class Batch:
    """A step's rows with all that the update reads; names of tensors as in `rollout`."""

    rollout: Rollout
    old_BT: torch.Tensor
    values_BT: torch.Tensor
    returns_BT: torch.Tensor
    advantages_BT: torch.Tensor
    weights_BT: torch.Tensor


def forward(
    model: Any, rollout: Rollout, *, hidden: bool = True
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Logits (B, T, V) of the answers' states, and their last hidden states (B, T, H)."""
    device = next(model.parameters()).device
    length = rollout.answer_length
    attention_BL = rollout.attention_BL.to(device)
    out = model(
        input_ids=rollout.ids_BL.to(device),
        attention_mask=attention_BL,
        position_ids=(attention_BL.cumsum(dim=1) - 1).clamp(min=0),
        output_hidden_states=hidden,
        use_cache=False,
        logits_to_keep=length + 1,
    )
    states = out.hidden_states[-1][:, -length - 1 : -1] if hidden else None
    return out.logits[:, -length - 1 : -1], states


@torch.no_grad()
def prepare(
    model: Any, reference: Any, value: ValueHead, beta: float, step: Step, settings: RlSettings
) -> tuple[Batch, dict[str, float]]:
    """Everything of a step that does not change while it is learned from, and its terms.

    `beta`: coefficient of the KL, per nat and token.
    """
    rollout, scores_B = _beside_others(step, settings)
    old, theirs, kl, values = [], [], [], []
    for rows in _slices(len(rollout), settings.minibatch):
        part = rollout.rows(rows)
        logits_BTV, hidden_BTH = forward(model, part)
        others_BTV, _ = forward(reference, part, hidden=False)
        actions_BT = part.actions_BT.to(logits_BTV.device)
        old.append(losses.token_logprobs(logits_BTV, actions_BT).cpu())
        theirs.append(losses.token_logprobs(others_BTV, actions_BT).cpu())
        kl.append(_kl(logits_BTV, others_BTV, part))
        values.append(values_of(value, hidden_BTH, part).cpu())
    mask_BT, on_policy_B = rollout.mask_BT, rollout.on_policy_B
    old_BT = torch.cat(old) * mask_BT
    if step.stale:  # π_old is who sampled: the policy before the last update
        old_BT = torch.where(on_policy_B[:, None], rollout.behaviour_BT, old_BT)
    values_BT = torch.cat(values) * mask_BT
    apart_BT = (old_BT - torch.cat(theirs)) * mask_BT
    rewards_BT = adv.rewards_of(scores_B, apart_BT, mask_BT, beta)
    advantages_BT, returns_BT = adv.gae(
        rewards_BT, values_BT, mask_BT, settings.gamma, settings.lam
    )
    ratios_BT = (old_BT - rollout.behaviour_BT).exp()
    others_BT = (
        adv.traced(rewards_BT, values_BT, mask_BT, ratios_BT, settings.gamma, settings.lam)
        if settings.adm.credit == "trace"
        else adv.monte_carlo(rewards_BT, values_BT, mask_BT)
    )
    advantages_BT = torch.where(on_policy_B[:, None], advantages_BT, others_BT)
    own = advantages_BT[on_policy_B][mask_BT[on_policy_B]]
    known = torch.tensor(gathered(own.tolist()), dtype=own.dtype)
    advantages_BT = adv.whiten(advantages_BT, mask_BT, known, settings.advantage_limit)
    positive_B = torch.tensor([kind == POSITIVE for kind in rollout.kinds])
    weights_BT = losses.importance_weights(
        ratios_BT, advantages_BT, on_policy_B, positive_B, settings.adm
    )
    off = mask_BT & ~on_policy_B[:, None]
    raised = mask_BT & positive_B[:, None] & (advantages_BT > 0)  # those that have a floor
    at_floor = raised & (ratios_BT <= settings.adm.weight_floor)
    terms = {
        "kl": float(torch.cat(kl).mean()),
        "explained_variance": adv.explained_variance(
            values_BT[on_policy_B], returns_BT[on_policy_B], mask_BT[on_policy_B]
        ),
        "weights_at_floor": float(at_floor.sum() / raised.sum().clamp(min=1)),
        "effective_sample_size": losses.effective_sample_size(weights_BT, off),
    }
    return Batch(rollout, old_BT, values_BT, returns_BT, advantages_BT, weights_BT), terms


@torch.no_grad()
def moved(model: Any, reference: Any, rollout: Rollout, size: int) -> dict[str, float]:
    """`kl` (nats an answer) and `entropy` (nats a token) of the on-policy rows' states now."""
    rollout = rollout.rows(rollout.on_policy_B.nonzero().squeeze(1).tolist())
    kl, entropy = [], []
    for rows in _slices(len(rollout), size):
        part = rollout.rows(rows)
        logits_BTV, _ = forward(model, part, hidden=False)
        others_BTV, _ = forward(reference, part, hidden=False)
        kl.append(_kl(logits_BTV, others_BTV, part))
        entropy.append(losses.entropy(logits_BTV).cpu()[part.mask_BT])
    return {"kl": float(torch.cat(kl).mean()), "entropy": float(torch.cat(entropy).mean())}


def _kl(logits_BTV: torch.Tensor, others_BTV: torch.Tensor, part: Rollout) -> torch.Tensor:
    """KL to the reference of each on-policy answer, in nats: the states that π itself visits."""
    own_B = part.on_policy_B
    kl_BT = losses.kl_to_reference(logits_BTV[own_B], others_BTV[own_B]).cpu()
    return (kl_BT * part.mask_BT[own_B]).sum(dim=1)


def _beside_others(step: Step, settings: RlSettings) -> tuple[Rollout, torch.Tensor]:
    """The rows with the integrity to expect of each state, and the rewards that are learned from.

    Of pictures' gains the question's other answers take off what it gains anyway; of integrity the
    value does, which knows what is earned and what the others go on to earn.  A value that is not
    aware of it leaves both to the baseline.
    """
    rollout = step.rollout
    scores_B = torch.tensor([row.total for row in step.scored])
    if settings.baseline == "none":
        return rollout, scores_B
    asked = [question.question_id for question in rollout.questions]
    on_policy_B = rollout.on_policy_B
    if not settings.integrity_value:
        return rollout, scores_B - adv.question_baseline(scores_B, on_policy_B, asked)
    integrity_B = torch.tensor([row.integrity for row in step.scored])
    gains_B = scores_B - settings.reward.integrity * integrity_B
    others_B = adv.question_baseline(integrity_B, on_policy_B, asked)
    expected_BT = expected_integrity(rollout.integrity_BT, others_B)
    learned_B = scores_B - adv.question_baseline(gains_B, on_policy_B, asked)
    return replace(rollout, integrity_BT=expected_BT), learned_B


def values_of(value: ValueHead, hidden_BTH: torch.Tensor | None, rollout: Rollout) -> torch.Tensor:
    """V(s) of the rows' states, (B, T), on the device of `hidden_BTH`."""
    assert hidden_BTH is not None
    device = hidden_BTH.device
    return value(hidden_BTH, rollout.features_BTF.to(device), rollout.integrity_BT.to(device))


def _slices(count: int, size: int) -> list[list[int]]:
    return [list(range(i, min(i + size, count))) for i in range(0, count, size)]
