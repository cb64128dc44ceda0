"""`diffchat build` with a clock on the work that any such build must do.

    python -m benchmarks.timed_build FILE build --json …

Writes {"work_s": …, "work_cpu_s": …} to FILE at the end: seconds by the clock and of the processor
inside the teacher's client, the loading of models, the pipeline's rendering and the scorers.  What
the whole process takes beyond that is what Prefect, the warehouse, files and the audit cost.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import models.scorers
import models.teacher.client
import models.tis
from models.scorers.base import Scorer
from models.tis.render import Tis

CLOCKS = {"work_s": time.perf_counter, "work_cpu_s": time.process_time}
spent = dict.fromkeys(CLOCKS, 0.0)


@contextmanager
def counted() -> Iterator[None]:
    """Add what passes inside; never one in another, or the inner time would count twice."""
    began = {name: clock() for name, clock in CLOCKS.items()}
    try:
        yield
    finally:
        for name, clock in CLOCKS.items():
            spent[name] += clock() - began[name]


def timed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, its time counted."""
    if not asyncio.iscoroutinefunction(function):
        return counted()(function)

    async def awaited(*words: Any, **options: Any) -> Any:
        with counted():
            return await function(*words, **options)

    return awaited


def main() -> None:
    """Wrap the work before the modules that import it are imported; run the command."""
    file, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
    for owner, name in (
        (Tis, "render"), (Scorer, "score"), (models.tis, "load_tis"),
        (models.scorers, "load_scorer"), (models.teacher.client, "ask"),
    ):  # fmt: skip
        setattr(owner, name, timed(getattr(owner, name)))
    from app import cli

    try:
        cli.main()
    finally:
        file.write_text(json.dumps({name: round(value, 2) for name, value in spent.items()}))


if __name__ == "__main__":
    main()
