"""Where and in which precision a model computes, from the words `auto`, `cuda:1`, `float16` …"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from schemas.errors import ModelError, SettingsError

if TYPE_CHECKING:
    import torch


def pick_device(wish: str, key: str = "device") -> str:
    """`auto`: the first of CUDA, MPS, CPU that is there; of several CUDA devices this process's
    (`accelerate launch`, `torchrun`).  Raises SettingsError for a device that is not there."""
    import torch

    if wish == "auto":
        if torch.cuda.is_available():
            # A process of several takes its own device: all would land on the first one.
            rank = os.environ.get("LOCAL_RANK")
            return f"cuda:{int(rank) % torch.cuda.device_count()}" if rank else "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=wish)
    except (RuntimeError, AssertionError) as error:
        raise SettingsError(
            f"{key} = {wish!r} cannot be used on this machine: {str(error).splitlines()[0]} "
            "Use 'auto' or 'cpu'."
        ) from error
    return wish


def pick_dtype(wish: str, device: str, *, prefer_bfloat16: bool = False) -> "torch.dtype":
    """`auto` is float32 on a CPU, else half precision: bfloat16 where the model overflows float16
    (the transformers of FLUX and SD 3 were published in it) and the device has it."""
    import torch

    if wish != "auto":
        return getattr(torch, wish)
    if device == "cpu":
        return torch.float32
    if prefer_bfloat16 and (not device.startswith("cuda") or torch.cuda.is_bf16_supported()):
        return torch.bfloat16
    return torch.float16


def out_of_memory(error: BaseException) -> bool:
    """True for the ways in which torch says that memory ran out, on any device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return "out of memory" in text or "can't allocate memory" in text


@contextmanager
def memory_for(say: Callable[[str], str]) -> Iterator[None]:
    """Raises ModelError instead of the many errors that say that memory ran out.

    `say` makes its message of the first line of what the device said.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        free_memory()
        said = str(error) or "no memory"
        raise ModelError(say(said.splitlines()[0][:200])) from error


def move(model: Any, device: str, name: str) -> Any:
    """`model.to(device)`.  Raises ModelError if it does not fit there, saying what to do."""
    advice = (
        f"{name} does not fit into the memory of {device}: load it in half precision (dtype), on "
        "another device, or, if it is a text-to-image model, with tis.offload = 'model'."
    )
    with memory_for(lambda said: f"{advice} The device said: {said}"):
        return model.to(device)


def free_memory() -> None:
    """Give cached blocks back to the device, so that a smaller batch finds room."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
