"""Losses of one minibatch: clipped ratio with truncated importance weights, value, KL, entropy.

All functions are pure; the tests compare each with a float64 reference written out by hand.
PPO: Schulman et al. 2017 (arXiv 1707.06347), equation 7.
"""

import torch
from torch.nn import functional

from schemas.training import AdmSettings


def importance_weights(
    ratios_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    on_policy_B: torch.Tensor,
    positive_B: torch.Tensor,
    adm: AdmSettings,
) -> torch.Tensor:
    """w = clip(π_old/μ, w_min, w_max), detached, (B, T), of the ratios; 1 for on-policy rows.

    w_min is `adm.weight_floor` for positives with A > 0 and 0 otherwise: what ADM made the policy
    say has next to no probability under it, and an unbounded-below weight would unlearn nothing
    and learn nothing from it (our choice; a plain ratio to μ gives hard negatives no gradient).
    """
    floor_BT = adm.weight_floor * (positive_B[:, None] & (advantages_BT > 0))
    weights_BT = torch.maximum(ratios_BT, floor_BT).clamp(max=adm.weight_cap)
    return torch.where(on_policy_B[:, None], torch.ones_like(weights_BT), weights_BT).detach()


def policy_loss(
    new_BT: torch.Tensor,
    old_BT: torch.Tensor,
    advantages_BT: torch.Tensor,
    weights_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    clip: float,
) -> torch.Tensor:
    """−mean of w·min(r·A, clip(r, 1±clip)·A) over the tokens, with r = π_θ/π_old."""
    ratio_BT = (new_BT - old_BT).exp()
    plain_BT = ratio_BT * advantages_BT
    clipped_BT = ratio_BT.clamp(1 - clip, 1 + clip) * advantages_BT
    return -masked_mean(weights_BT * torch.minimum(plain_BT, clipped_BT), mask_BT)


def value_loss(
    values_BT: torch.Tensor,
    old_BT: torch.Tensor,
    returns_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    clip: float,
) -> torch.Tensor:
    """Half the mean of the larger of plain and clipped squared errors (OpenAI baselines' PPO2)."""
    near_BT = old_BT + (values_BT - old_BT).clamp(-clip, clip)
    worse_BT = torch.maximum((values_BT - returns_BT) ** 2, (near_BT - returns_BT) ** 2)
    return 0.5 * masked_mean(worse_BT, mask_BT)


def token_logprobs(logits_BTV: torch.Tensor, actions_BT: torch.Tensor) -> torch.Tensor:
    """log π(a_t|s_t), (B, T)."""
    return -functional.cross_entropy(
        logits_BTV.float().transpose(1, 2), actions_BT, reduction="none"
    )


def entropy(logits_BTV: torch.Tensor) -> torch.Tensor:
    """Entropy of each state's distribution in nats, (B, T)."""
    logs_BTV = logits_BTV.float().log_softmax(dim=-1)
    return -(logs_BTV.exp() * logs_BTV).sum(dim=-1)


def kl_to_reference(logits_BTV: torch.Tensor, reference_BTV: torch.Tensor) -> torch.Tensor:
    """KL(π ‖ π_ref) of each state in nats, (B, T), summed over the whole vocabulary."""
    logs_BTV = logits_BTV.float().log_softmax(dim=-1)
    others_BTV = reference_BTV.float().log_softmax(dim=-1)
    return (logs_BTV.exp() * (logs_BTV - others_BTV)).sum(dim=-1)


def masked_mean(values_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
    """Mean over the tokens of the mask; 0 if there are none."""
    return (values_BT * mask_BT).sum() / mask_BT.sum().clamp(min=1)


def effective_sample_size(weights_BT: torch.Tensor, mask_BT: torch.Tensor) -> float:
    """(Σw)² / Σw², as a share of the tokens: 1 where all weights are equal."""
    weights = weights_BT[mask_BT]
    if not weights.numel() or not float(weights.square().sum()) > 0:
        return 0.0
    return float(weights.sum() ** 2 / weights.square().sum() / weights.numel())
