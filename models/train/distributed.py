"""One process or several under `accelerate launch`: who writes, waiting, and parting.

Free of torch where there is one process.
"""

import os
from typing import Any


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def rank() -> int:
    """This process's number among them."""
    return int(os.environ.get("RANK", "0"))


def is_main() -> bool:
    """Whether this process writes what all share."""
    return rank() == 0


def wait() -> None:
    """Until every process is here."""
    if processes() > 1:
        _state().wait_for_everyone()


def accelerator() -> Any:
    """accelerate's view of this process: one, or one of several."""
    from accelerate import Accelerator

    _state()
    return Accelerator()


def gathered(items: list[Any]) -> list[Any]:
    """The items of all processes, in order of rank, whatever number each of them has."""
    if processes() == 1:
        return items
    from accelerate.utils import gather_object

    _state()
    return gather_object(items)


def end() -> None:
    """Part from the other processes, after the last thing that is done together.

    Without it gloo's threads live on while the interpreter ends, and a process whose work is done
    can die of SIGABRT.  They end with the last reference to the process group, so models are loaded
    before the accelerator is made: what `transformers` imports of torch has the group that exists
    by then as default arguments.
    """
    if processes() > 1:
        _state().destroy_process_group()


def _state() -> Any:
    """What this process knows of the others.

    Whether there is a GPU must be said: without one, accelerate takes each process that `torchrun`
    starts for the only one, and all train apart.
    """
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available())
