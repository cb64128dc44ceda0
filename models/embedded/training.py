"""What every embedded training shares: where files go, schedules, averages, checkpoints, logs.

Everything in progress lives under `$DIFFCHAT_HOME/embedded` (default `./var/embedded`) and can be
killed at any time: a run goes on from its last checkpoint.  Finished weights go to
`models/embedded/weights/<name>/`.  Diffusion models train in bfloat16 where the device computes in
it (`mixed_precision`), everything else in float32.
"""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

WEIGHTS = Path(__file__).parent / "weights"


def home() -> Path:
    """The folder of unfinished work: datasets, checkpoints, logs."""
    folder = Path(os.environ.get("DIFFCHAT_HOME", "var")) / "embedded"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mixed_precision() -> torch.autocast:
    """Autocast to bfloat16 where the device computes in it (1.7 times as fast), else off."""
    where = device().type
    native = (
        torch.cuda.is_bf16_supported()
        if where == "cuda"
        else bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    )
    return torch.autocast(where, torch.bfloat16, enabled=native)


def join_ranks() -> tuple[int, int]:
    """(rank, ranks) under `torchrun`, (0, 1) otherwise.

    On a shared machine two processes of one thread finish sooner than one of two threads: they wait
    for each other once a step, not once an operation.
    """
    if "RANK" not in os.environ:
        return 0, 1
    import torch.distributed as distributed

    if not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return distributed.get_rank(), distributed.get_world_size()


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Replace each gradient by its mean over the ranks; nothing if there is one rank."""
    import torch.distributed as distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= distributed.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, flat.split(sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))


class Log:
    """Appends one JSON line per report to `<home>/<name>.log` and shows it on stderr."""

    def __init__(self, name: str) -> None:
        self.path = home() / f"{name}.log"
        self.started = time.monotonic()

    def __call__(self, **values: Any) -> None:
        row = {"seconds": round(time.monotonic() - self.started, 1), **values}
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
        with self.path.open("a") as file:
            file.write(line + "\n")
        print(line, file=sys.stderr, flush=True)


def learning_rate(step: int, steps: int, peak: float, *, warmup: int, decay: float) -> float:
    """Warm-up, plateau, then linear decay over the last share `decay` of the steps.

    A plateau (rather than a cosine) lets a run be prolonged or cut short without a jump.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    begin = steps * (1 - decay)
    if step < begin:
        return peak
    return peak * max(0.02, (steps - step) / max(1.0, steps - begin))


class Average:
    """Exponential moving average of parameters, warmed up so that early steps are forgotten."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        self.parameters = list(parameters)
        self.shadow = [p.detach().clone() for p in self.parameters]
        self.decay = decay

    def update(self, step: int) -> None:
        """Move the average towards the parameters after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.shadow, [p.detach() for p in self.parameters], 1 - decay)

    def restore(self, saved: Iterable[torch.Tensor]) -> None:
        """Take the averages of a checkpoint, on the device where these are."""
        for shadow, tensor in zip(self.shadow, saved, strict=True):
            shadow.copy_(tensor)

    def swap(self) -> None:
        """Exchange parameters and averages; call again to undo."""
        for parameter, shadow in zip(self.parameters, self.shadow, strict=True):
            parameter.data, shadow.data = shadow.data, parameter.data


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write atomically: a kill leaves the previous checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    torch.save(state, draft)
    draft.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None if there is none yet."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def warm_start(module: torch.nn.Module, file: Path) -> bool:
    """Copy the shipped safetensors `file` into `module`; False if there is none.

    Training then goes on from weights without their optimiser state, which does not ship.
    """
    from safetensors.torch import load_file

    if not file.exists():
        return False
    module.load_state_dict(load_file(file))
    return True


def mark(folder: Path) -> str:
    """A few letters that change with the weights in `folder`."""
    return hashlib.sha256((folder / "SHA256SUMS").read_bytes()).hexdigest()[:8]


def write_checksums(folder: Path) -> None:
    """List the SHA-256 of every content file of `folder` in `SHA256SUMS`, as loaders verify it."""
    from models.weights import write_sums

    write_sums(folder)
