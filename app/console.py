"""What a terminal shows: progress bars, tables, and JSON for scripts."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

console = Console(highlight=False)

UNITS = {
    "collect": "lines",
    "teach": "calls",
    "follow_up": "calls",
    "beautify": "calls",
    "render": "images",
    "score": "scores",
    "tokenise": "examples",
    "sft": "steps",
    "measure": "answers",
    "rl": "steps",
    "edit": "images",
}
LINE_EVERY_S = 60.0  # of a stage under way, where stderr is a log


@contextmanager
def progress_bars(enabled: bool) -> Iterator[None]:
    """Draw a bar for each stage of `tasks.progress` on stderr, in the order they come up.

    Where stderr is no terminal the bars come at the end, and until then a line every minute.
    """
    from tasks.progress import listen

    if not enabled:
        listen(lambda stage, done, total: None)
        try:
            yield
        finally:
            listen(None)
        return
    columns = (
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=32),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, Any] = {}
        tell = _telling(bars.console)

        def end_open() -> None:
            """A total of 0 is not known before the end: what is there when others start is it."""
            for bar in bars.tasks:
                if bar.total is None:
                    bars.update(bar.id, total=bar.completed, visible=bar.completed > 0)
                    bars.stop_task(bar.id)

        def show(stage: str, done: int, total: int) -> None:
            if stage not in known:
                end_open()
                known[stage] = bars.add_task(stage, total=None, unit=UNITS.get(stage, ""))
            bars.update(known[stage], completed=done, total=total or None)
            if 0 < total <= done:
                bars.stop_task(known[stage])
            tell(stage, done, total)

        listen(show)
        try:
            yield
        finally:
            end_open()
            listen(None)


def _telling(stderr: Console) -> Callable[[str, int, int], None]:
    """What says now and then how far a stage is, to a log; silent at a terminal."""
    if stderr.is_terminal:
        return lambda stage, done, total: None
    begun = last = time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < LINE_EVERY_S:
            return
        last = now
        of = f" of {total:,}" if total else ""
        since = timedelta(seconds=round(now - begun))
        stderr.print(f"{since} {stage} {done:,}{of} {UNITS.get(stage, '')}", soft_wrap=True)

    return tell


def print_json(value: Any) -> None:
    """One JSON object on stdout; times and other odd values as text."""
    print(json.dumps(value, ensure_ascii=False, default=str))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A table in which every cell is shown as text: prompts are data, never markup."""
    table = Table(header_style="bold", show_lines=False)
    for name in columns:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else printable(cell)) for cell in row))
    console.print(table)


def printable(value: Any) -> str:
    """Text without control characters, so that a prompt cannot drive the terminal."""
    text = f"{value:.4f}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def note(text: str) -> None:
    """A line for the person, on stderr, so that stdout stays the result."""
    print(text, file=sys.stderr, flush=True)
