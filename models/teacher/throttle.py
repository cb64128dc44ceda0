"""How many requests may be under way: adapted to overload, not to accidents.

Once a second the answers of that second are judged.  If more than a fifth of them say overload
(429, 503, time-out), and not a single one only, the limit is cut by a third; else it grows back by
a sixteenth of the full concurrency.  A single 429 changes nothing here: it delays its own request.
"""

import time

OVERLOADED_SHARE = 0.2  # of a second's answers
MIN_OVERLOADED = 2
CUT = 2 / 3  # our choice, as are the two below: from 64 to 8 in five seconds, back in fourteen
GROWTH = 1 / 16


class Throttle:
    """`limit` requests may be under way; `note` each answer."""

    def __init__(self, concurrency: int) -> None:
        self.full = self.limit = concurrency
        self._second = time.monotonic()
        self._answers = self._overloaded = 0

    def note(self, overloaded: bool) -> None:
        """Count an answer; the first one of a new second judges the second before."""
        now = time.monotonic()
        if now - self._second >= 1.0:
            if self._answers:
                self._judge()
            self._second, self._answers, self._overloaded = now, 0, 0
        self._answers += 1
        self._overloaded += overloaded

    def _judge(self) -> None:
        share = self._overloaded / self._answers
        if share > OVERLOADED_SHARE and self._overloaded >= MIN_OVERLOADED:
            self.limit = max(1, int(self.limit * CUT))
        else:
            self.limit = min(self.full, self.limit + max(1, int(self.full * GROWTH)))
