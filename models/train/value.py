"""The content-integrity-aware value: V(s) = w_c·E[CI | prefix] + v_θ(h, f).

E[CI | prefix] = CI(prefix) + ρ·(1 − CI(prefix)), with ρ the integrity of the question's other
answers: what is earned, and of the rest what others go on to earn.  (With CI(prefix) alone, the
reading of DESIGN.md and `baseline = "none"`, every expected unit looks like a merit, and the value
explained nothing of the returns of the embedded student.)

h is the policy's last hidden state, read without gradient, so that fitting the value never moves
the policy (our choice); f are the features of `rollout`.  The last layer starts at zero, so the
value begins as the part of the reward that is already earned.  Switched off, V = v_θ(h).
"""

import torch
from torch import nn

from models.train.rollout import FEATURES

WIDTH = 128  # of the hidden layer; our choice


class ValueHead(nn.Module):
    """v_θ: a layer norm, one hidden layer, one output that starts at zero."""

    def __init__(self, hidden: int, integrity_weight: float, aware: bool = True):
        """`hidden`: width of h; `integrity_weight`: w_c; `aware`: read integrity and features."""
        super().__init__()
        self.aware, self.integrity_weight = aware, integrity_weight
        self.norm = nn.LayerNorm(hidden)
        self.inner = nn.Linear(hidden + (FEATURES if aware else 0), WIDTH)
        self.outer = nn.Linear(WIDTH, 1)
        nn.init.zeros_(self.outer.weight)
        nn.init.zeros_(self.outer.bias)

    def forward(
        self, hidden_BTH: torch.Tensor, features_BTF: torch.Tensor, integrity_BT: torch.Tensor
    ) -> torch.Tensor:
        """V(s) of each state, (B, T); `integrity_BT`: earned, or to be expected."""
        seen = self.norm(hidden_BTH.detach().float())
        if self.aware:
            seen = torch.cat([seen, features_BTF], dim=-1)
        learnt_BT = self.outer(torch.tanh(self.inner(seen))).squeeze(-1)
        return learnt_BT + self.integrity_weight * integrity_BT if self.aware else learnt_BT


def expected_integrity(earned_BT: torch.Tensor, others_B: torch.Tensor) -> torch.Tensor:
    """E[CI | prefix], (B, T), of what is earned and ρ, the mean of the question's other answers."""
    return earned_BT + others_B[:, None] * (1 - earned_BT)
