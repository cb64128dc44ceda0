"""Progress of a stage: told to whoever listens.

The command line installs a listener that draws bars; without one (in a Prefect worker) progress
goes to the log, at most every few seconds.  A stage is counted over all its shards where `begin`
said how much there is in all, else each shard for itself.  Leaves out: anything that decides what
runs.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Listener = Callable[[str, int, int], None]  # stage, done, total

LOG_EVERY_S = 5.0
logger = logging.getLogger("diffchat")
_listener: Listener | None = None
_whole: dict[str, tuple[int, int]] = {}  # of the stages that were begun: done, total
_guard = threading.Lock()


def listen(listener: Listener | None) -> None:
    """Install (or with None remove) the one listener of this process."""
    global _listener
    _listener = listener
    _whole.clear()


def begin(name: str, total: int) -> None:
    """A stage starts in this process; its shards add up to `total` (0: nobody knows yet)."""
    with _guard:
        _whole[name] = (0, total)


@contextmanager
def stage(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """A stage, or one shard of one that was begun: yields `advance(n)`.

    `total` counts its own unit (lines, calls, images, scores); 0 is not known before the end.
    """
    own, logged = (0, total), time.monotonic()

    def advance(n: int = 1) -> None:
        nonlocal own, logged
        own = own[0] + n, total
        with _guard:
            if name in _whole:
                _whole[name] = _whole[name][0] + n, _whole[name][1]
            done, of = _whole.get(name, own)
        if _listener is not None:
            _listener(name, done, of)
        elif time.monotonic() - logged > LOG_EVERY_S:
            logged = time.monotonic()
            logger.info("%s: %d of %s", name, done, of or "?")

    if _listener is not None:
        _listener(name, *_whole.get(name, own))
    yield advance
    if own[0] and _listener is None:
        done, of = _whole.get(name, own)
        logger.info("%s: %d of %d", name, done, of or done)


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
