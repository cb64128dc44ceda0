"""Where the time of a step goes: seconds by part, and what is left over."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Clock:
    """`with clock("render"): …`; `lap()` gives the seconds since the last lap."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._started = time.perf_counter()

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._spent[part] = self._spent.get(part, 0.0) + time.perf_counter() - began

    def lap(self) -> dict[str, float]:
        """`seconds`, `seconds_<part>` and `seconds_other`; starts anew."""
        now = time.perf_counter()
        whole = now - self._started
        parts = {f"seconds_{part}": spent for part, spent in self._spent.items()}
        other = whole - sum(parts.values())
        self._spent, self._started = {}, now
        return {"seconds": whole, **parts, "seconds_other": other}
