"""Weights in float32 while they are trained, whatever precision they are loaded and computed in.

AdamW in bfloat16 loses what it learns: a step of RL moves a weight by about its learning rate, 1e-6
to 1e-5, and a bfloat16 weight of 0.02 cannot change by less than 1e-4, so most updates round to
nothing.  `trl` and accelerate keep such master weights too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from schemas.errors import TrainingError


@contextmanager
def full_precision(model: Any) -> Iterator[None]:
    """Inside, `model` has float32 weights and computes under autocast in the precision it came in.

    Afterwards the weights have that precision again.  Changes nothing for a float32 model.  Raises
    TrainingError for one in float16.
    """
    dtype = model.dtype
    if dtype == torch.float32:
        yield
        return
    if dtype == torch.float16:
        raise TrainingError(
            "A student in float16 cannot be trained: its gradients underflow. Set student.dtype to "
            "bfloat16 or float32."
        )
    device = next(model.parameters()).device.type
    model.float()
    model.forward = torch.autocast(device, dtype)(model.forward)
    try:
        yield
    finally:
        del model.forward  # of the instance: the class has its own
        model.to(dtype)
