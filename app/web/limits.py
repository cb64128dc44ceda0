"""How often and how many: turns a minute, one at a time of each session, and a line that waits."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.errors import ChatError

REMEMBERED = 10_000  # sessions and addresses


class RateLimit:
    """At most `number` events in `window_s` seconds of each key."""

    def __init__(self, number: int, window_s: float = 60.0) -> None:
        self.number, self.window_s = number, window_s
        self._seen: OrderedDict[str, deque[float]] = OrderedDict()
        self._guard = threading.Lock()

    def take(self, key: str) -> None:
        """Count one; raises ChatError that says how long to wait."""
        now = time.monotonic()
        with self._guard:
            times = self._seen.setdefault(key, deque())
            self._seen.move_to_end(key)
            while len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
            while times and now - times[0] >= self.window_s:
                times.popleft()
            if len(times) >= self.number:
                wait = self.window_s - (now - times[0])
                raise ChatError(
                    f"That was {self.number} in {self.window_s:g} seconds, which is as many as one "
                    f"may have: wait {wait:.0f} s."
                )
            times.append(now)


class Turns:
    """Which sessions have a turn under way, and which of those were asked to stop."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._stopping: dict[str, bool] = {}

    @contextmanager
    def one(self, session_id: str) -> Iterator[None]:
        """Raises ChatError while another turn of the session is under way."""
        with self._guard:
            if session_id in self._stopping:
                raise ChatError(
                    "This session is already at work, perhaps in another window: wait for it, or "
                    "press Stop."
                )
            self._stopping[session_id] = False
        try:
            yield
        finally:
            with self._guard:
                del self._stopping[session_id]

    def stop(self, session_id: str) -> bool:
        """Ask the session's turn to end; whether there was one."""
        with self._guard:
            if session_id not in self._stopping:
                return False
            self._stopping[session_id] = True
            return True

    def busy(self, session_id: str) -> bool:
        """Whether a turn of the session is under way."""
        return session_id in self._stopping

    def stopped(self, session_id: str) -> bool:
        return self._stopping.get(session_id, False)


class Line:
    """`at_once` turns are made side by side, `most` others may wait: first come, first served."""

    def __init__(self, at_once: int, most: int) -> None:
        self.at_once, self.most = at_once, most
        self._changed = threading.Condition()
        self._tickets: list[object] = []

    @contextmanager
    def place(self) -> Iterator[Callable[[float], int]]:
        """A place in the line until left: `ahead(seconds)` is how many turns must end before this
        one may begin, after waiting at most so long for it to be none.

        Raises ChatError if the line is full.
        """
        ticket = object()
        with self._changed:
            if len(self._tickets) >= self.at_once + self.most:
                raise ChatError(
                    f"{self.most} people are waiting already, which is as many as may: send the "
                    "same again in a moment."
                )
            self._tickets.append(ticket)

        def before() -> int:
            return max(0, self._tickets.index(ticket) - self.at_once + 1)

        def ahead(seconds: float) -> int:
            with self._changed:
                self._changed.wait_for(lambda: before() == 0, seconds)
                return before()

        try:
            yield ahead
        finally:
            with self._changed:
                self._tickets.remove(ticket)
                self._changed.notify_all()
