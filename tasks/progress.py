"""Progress of a stage: told to whoever listens.

The command line installs a listener that draws bars; without one (in a Prefect worker) progress
goes to the log, at most every few seconds.  Leaves out: anything that decides what runs.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]  # stage, done, total

LOG_EVERY_S = 5.0
logger = logging.getLogger("diffchat")
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Install (or with None remove) the one listener of this process."""
    global _listener
    _listener = listener


@contextmanager
def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; `total` counts the stage's own unit (lines, calls, images, scores).

    A `total` of 0 is one that is not known before the end.
    """
    done, logged = 0, time.monotonic()

    def advance(n: int = 1) -> None:
        nonlocal done, logged
        done += n
        if _listener is not None:
            _listener(name, done, total)
        elif time.monotonic() - logged > LOG_EVERY_S:
            logged = time.monotonic()
            logger.info("%s: %d of %d", name, done, total)

    if _listener is not None:
        _listener(name, 0, total)
    yield advance
    if _listener is not None:
        _listener(name, done, total or done)
    elif done:
        logger.info("%s: %d of %d", name, done, total or done)


def follow(name: str) -> Callable[[int, int], None]:
    """For loops that know their own count: tell (done, total) whenever it changes."""
    logged = time.monotonic()

    def reach(done: int, total: int) -> None:
        nonlocal logged
        if _listener is not None:
            _listener(name, done, total)
        elif time.monotonic() - logged > LOG_EVERY_S or done >= total:
            logged = time.monotonic()
            logger.info("%s: %d of %d", name, done, total)

    return reach
