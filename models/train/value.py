"""The content-integrity-aware value: V(s) = w_c·CI(prefix) + v_θ(h, f).

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
        """V(s) of each state, (B, T)."""
        seen = self.norm(hidden_BTH.detach().float())
        if self.aware:
            seen = torch.cat([seen, features_BTF], dim=-1)
        learnt_BT = self.outer(torch.tanh(self.inner(seen))).squeeze(-1)
        return learnt_BT + self.integrity_weight * integrity_BT if self.aware else learnt_BT
