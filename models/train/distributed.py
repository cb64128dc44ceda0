"""One process or several under `accelerate launch`: who writes, and waiting for each other,
and parting.

Free of torch where there is one process.
"""

import os


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
        from accelerate import PartialState

        PartialState().wait_for_everyone()


def end() -> None:
    """Part from the other processes, after the last thing that is done together.

    Without it the library's threads can be cut off at the end of the process, which then dies of
    SIGABRT with all work done.
    """
    if processes() > 1:
        from accelerate import PartialState

        PartialState().destroy_process_group()
