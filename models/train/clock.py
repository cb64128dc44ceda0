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
        whole = time.perf_counter() - self._started
        parts = self.parts()
        return {"seconds": whole, **parts, "seconds_other": whole - sum(parts.values())}

    def parts(self) -> dict[str, float]:
        """`seconds_<part>` since the last call; starts anew."""
        parts = {f"seconds_{part}": spent for part, spent in self._spent.items()}
        self._spent, self._started = {}, time.perf_counter()
        return parts
