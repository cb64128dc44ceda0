"""Muon in float32, for the matrices inside transformer blocks.

`torch.optim.Muon` orthogonalises in bfloat16, which took 25 times as long on a CPU without bf16
units; otherwise the same method (Jordan et al. 2024: Nesterov momentum, five Newton–Schulz
iterations, step scaled by the matrix's shape).  Leaves out distribution and other parameter shapes.
"""

from collections.abc import Callable, Iterable

import torch

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the published quintic iteration


def orthogonalise(matrix: torch.Tensor, iterations: int = 5) -> torch.Tensor:
    """The nearest (semi-)orthogonal matrix, roughly: singular values end between 0.7 and 1.2."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """SGD with Nesterov momentum whose step is orthogonalised; parameters must be matrices."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95
    ) -> None:
        super().__init__(list(params), {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update; `closure` is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                momentum.lerp_(parameter.grad, 1 - group["momentum"])
                step = orthogonalise(parameter.grad.lerp(momentum, group["momentum"]))
                rows, columns = parameter.shape
                parameter.add_(step, alpha=-group["lr"] * max(1, rows / columns) ** 0.5)


def optimisers(
    model: torch.nn.Module, muon_rate: float, adam_rate: float
) -> list[torch.optim.Optimizer]:
    """[Muon for matrices inside blocks, AdamW for embeddings, norms and everything else]."""
    inside, outside = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim == 2 and "layers." in name
            (inside if matrix else outside).append(parameter)
    return [
        Muon(inside, lr=muon_rate),
        torch.optim.AdamW(outside, lr=adam_rate, betas=(0.9, 0.97), weight_decay=0.0),
    ]
