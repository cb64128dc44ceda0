"""One process or several under `accelerate launch`: who writes, and waiting for each other.

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
