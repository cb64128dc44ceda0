"""Advantages: GAE on on-policy rows, traces or Monte Carlo on the others, whitened by the former.

Every function takes tensors (B, T) with a mask of the answer's tokens; values and advantages
outside it are 0.  Generalised advantage estimation: Schulman et al. 2016 (arXiv 1506.02438),
equations 11 and 16, with the terminal value 0.
"""

from collections.abc import Sequence

import torch


def rewards_of(
    scores_B: torch.Tensor, apart_BT: torch.Tensor, mask_BT: torch.Tensor, beta: float
) -> torch.Tensor:
    """Reward of each token, (B, T): −β·log(π/π_ref) of it, and the answer's score at the last one.

    `apart_BT`: the log-ratio of the token that was said, whose mean is the state's KL.  The KL
    itself will not do: it is the same whatever is said in the state, so as a reward it has no
    gradient where it arises (Ziegler et al. 2019, arXiv 1909.08593, equation 2).
    """
    rewards_BT = -beta * apart_BT * mask_BT
    last_B = mask_BT.long().sum(dim=1) - 1
    rewards_BT[torch.arange(len(scores_B)), last_B] += scores_B
    return rewards_BT


def question_baseline(
    gains_B: torch.Tensor, on_policy_B: torch.Tensor, questions: Sequence[str]
) -> torch.Tensor:
    """Mean gain of the question's other on-policy answers, (B,): what is no merit of an answer.

    How much a picture can gain depends on the raw prompt's far more than on the answer, and no
    value learns that from a few hundred questions.  Leaving the row itself out keeps the gradient
    unbiased (RLOO: Ahmadian et al. 2024, arXiv 2402.14740, equation 8).  Where there is no other
    answer to the question, the mean over all on-policy rows.
    """
    same_BB = torch.tensor([[a == b for b in questions] for a in questions])
    others_BB = (same_BB & on_policy_B[None, :]).to(gains_B.dtype)
    others_BB.fill_diagonal_(0.0)
    count_B = others_BB.sum(dim=1)
    known = gains_B[on_policy_B]
    overall = known.mean() if known.numel() else gains_B.mean()
    return torch.where(count_B > 0, others_BB @ gains_B / count_B.clamp(min=1), overall)


def gae(
    rewards_BT: torch.Tensor,
    values_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    gamma: float,
    lam: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Advantages and returns (targets of the value), both (B, T)."""
    ones_BT = torch.ones_like(rewards_BT)
    advantages_BT = traced(rewards_BT, values_BT, mask_BT, ones_BT, gamma, lam)
    return advantages_BT, (advantages_BT + values_BT) * mask_BT


def traced(
    rewards_BT: torch.Tensor,
    values_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    ratios_BT: torch.Tensor,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """Advantages of off-policy rows, credit cut where the policy would not have gone: (B, T).

    A_t = δ_t + γλ·ρ_{t+1}·A_{t+1} with ρ = min(1, π_old/μ), `ratios_BT`: V-trace (Espeholt et al.
    2018, arXiv 1802.01561, section 4.1) with c̄ = ρ̄ = 1, and GAE where ρ = 1.  What a row was forced
    to say, or kept from saying, is then no merit and no fault of the words before it.
    """
    values_BT = values_BT * mask_BT
    cut_BT = ratios_BT.clamp(max=1.0) * mask_BT
    nothing_B = torch.zeros_like(rewards_BT[:, 0])
    advantages_BT = torch.zeros_like(rewards_BT)
    carried_B = nothing_B  # ρ_{t+1}·A_{t+1}
    for t in reversed(range(rewards_BT.shape[1])):
        after_B = values_BT[:, t + 1] if t + 1 < rewards_BT.shape[1] else nothing_B
        delta_B = rewards_BT[:, t] + gamma * after_B - values_BT[:, t]
        advantages_BT[:, t] = (delta_B + gamma * lam * carried_B) * mask_BT[:, t]
        carried_B = cut_BT[:, t] * advantages_BT[:, t]
    return advantages_BT


def monte_carlo(
    rewards_BT: torch.Tensor, values_BT: torch.Tensor, mask_BT: torch.Tensor
) -> torch.Tensor:
    """A_t = R_t − V(s_t), R_t the undiscounted reward still to come: (B, T).

    No bootstrapping: the values of states that the policy does not visit are not fitted.
    """
    to_come_BT = rewards_BT.flip(1).cumsum(dim=1).flip(1)
    return (to_come_BT - values_BT) * mask_BT


def whiten(
    advantages_BT: torch.Tensor, mask_BT: torch.Tensor, known: torch.Tensor, limit: float
) -> torch.Tensor:
    """Advantages less the mean of the `known` ones and over their deviation, cut at ±limit."""
    scale = known.std() if known.numel() > 1 else torch.ones(())
    whitened_BT = (advantages_BT - known.mean()) / (scale + 1e-8)
    return whitened_BT.clamp(-limit, limit) * mask_BT


def explained_variance(
    values_BT: torch.Tensor, returns_BT: torch.Tensor, mask_BT: torch.Tensor
) -> float:
    """1 − Var(returns − values) / Var(returns): 1 is perfect, 0 no better than a constant."""
    returns, values = returns_BT[mask_BT], values_BT[mask_BT]
    variance = returns.var()
    if not variance > 0:
        return 0.0
    return float(1 - (returns - values).var() / variance)
