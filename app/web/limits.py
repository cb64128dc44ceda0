"""How often: at most so many turns a minute, and one at a time, of each session."""

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
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

    def stopped(self, session_id: str) -> bool:
        return self._stopping.get(session_id, False)
