"""How many requests may be under way: adapted to overload, not to accidents.

Once a second the answers of that second are judged.  If more than a fifth of them say overload
(429, 503, time-out) the limit is cut by a third; else it grows back by a sixteenth of the full
concurrency.  A single 429 changes nothing here: it only delays its own request.
"""

import asyncio
import time

OVERLOADED_SHARE = 0.2  # of a second's answers (issue of the first build)
MIN_ANSWERS = 5  # fewer in a second say nothing
CUT = 2 / 3
GROWTH = 1 / 16


class Throttle:
    """`async with throttle:` around a request; `note(overloaded)` after it."""

    def __init__(self, concurrency: int):
        self.full = self.limit = concurrency
        self.under_way = 0
        self._free: asyncio.Condition = asyncio.Condition()
        self._second = time.monotonic()
        self._answers = self._overloaded = 0

    async def __aenter__(self) -> None:
        async with self._free:
            while self.under_way >= self.limit:
                await self._free.wait()
            self.under_way += 1

    async def __aexit__(self, *_: object) -> None:
        async with self._free:
            self.under_way -= 1
            self._free.notify_all() if self.limit < self.full else self._free.notify()

    def note(self, overloaded: bool) -> None:
        """Count an answer, and at the end of a second judge that second."""
        self._answers += 1
        self._overloaded += overloaded
        if time.monotonic() - self._second < 1.0:
            return
        if self._answers >= MIN_ANSWERS:
            if self._overloaded > OVERLOADED_SHARE * self._answers:
                self.limit = max(1, int(self.limit * CUT))
            else:
                self.limit = min(self.full, self.limit + max(1, int(self.full * GROWTH)))
        self._second, self._answers, self._overloaded = time.monotonic(), 0, 0
