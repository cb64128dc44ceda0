"""Read a source as lines, whatever its kind: text, CSV, TSV, JSON, JSONL, Parquet, hub.

Rows that cannot be read become lines with a reason; a source that cannot be read at all raises
SourceError.  Memory is bounded by a chunk of the file (by a row group for Parquet).  Left out:
judging the prompts (`judge`).
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from models.collect.lines import KEPT_CHARACTERS, physical_lines
from models.collect.source import Line, files_of, is_hub, kind_of, source_id
from models.collect.tables import Choose, Row, rows_of
from schemas.errors import SourceError
from schemas.settings import SourceSettings

# Columns looked for in a table without a mapping, in this order, upper or lower case.
PROMPT_COLUMNS = (
    "prompt",
    "text",
    "caption",
    "raw_prompt",
    "source_prompt",
    "original_prompt",
    "input",
    "prompts",
    "captions",
    "description",
    "sentence",
)


# Beyond this nothing is a prompt, whatever the rules allow: it bounds the memory of a shard.
MAX_CHARACTERS = 50_000


class Found(NamedTuple):
    """A prompt or a reason, before it is numbered."""

    text: str
    reason: str | None = None
    detail: str = ""


def read_source(source: SourceSettings, limit: int | None = None) -> Iterator[Line]:
    """The lines of a source in order, at most `limit`, each a prompt or a reason.

    Lines are numbered from 1: physical lines of a text file, rows of a table (without its header),
    counted through the files of a glob.  Raises SourceError when the source is missing, empty,
    corrupt, not text, or a table without the column.
    """
    identity = source_id(source)
    number = 0
    for found in islice(_found(source), limit):
        number += 1
        if len(found.text) > MAX_CHARACTERS:
            detail = found.detail or f"{len(found.text):,} characters"
            found = Found(found.text[:KEPT_CHARACTERS], found.reason or "too_long", detail)
        yield Line(identity, number, found.text, source.licence, found.reason, found.detail)
    if number == 0 and limit != 0:
        raise SourceError(f"{source.location!r} has no rows: there is nothing to collect in it.")


def _found(source: SourceSettings) -> Iterator[Found]:
    if kind_of(source) != "text":
        yield from _prompts(source)
        return
    for path in files_of(source):
        for line in physical_lines(path):
            yield Found(*line)


def _prompts(source: SourceSettings) -> Iterator[Found]:
    """The prompt column of a table; its first readable row decides which one that is."""

    def choose(columns: tuple[str, ...]) -> list[str]:
        return [choose_column(columns, source.column, source.location)]

    name: str | None = None
    for row in source_rows(source, choose):
        if row.reason is not None:
            yield Found(row.text, row.reason, row.detail)
        elif isinstance(row.values, str):
            yield Found(row.values)
        else:
            values = row.values or {}
            name = name or choose(tuple(values))[0]
            yield _prompt(values.get(name), values)


def source_rows(source: SourceSettings, choose: Choose) -> Iterator[Row]:
    """The rows of every file of a source that is a table.  Raises SourceError."""
    if is_hub(source):
        from models.collect.hub import hub_rows

        yield from hub_rows(source, choose)
        return
    for path in files_of(source):
        yield from rows_of(path, kind_of(source), choose)


def _prompt(value: Any, values: dict[str, Any]) -> Found:
    if isinstance(value, str):
        return Found(value)
    if value is None:
        return Found(str(values)[:KEPT_CHARACTERS], "no_prompt", "the row has no prompt")
    kind = type(value).__name__
    return Found(str(value)[:KEPT_CHARACTERS], "not_text", f"the prompt is a {kind}")


def choose_column(columns: tuple[str, ...], column: str | None, place: str) -> str:
    """The column asked for, or the first known one.  Raises SourceError that lists the columns."""
    listed = ", ".join(map(repr, columns[:50])) or "none"
    if column is not None:
        if column in columns:
            return column
        raise SourceError(f"{place} has no column {column!r}. Its columns: {listed}.")
    lower = {name.strip().lower(): name for name in reversed(columns)}
    for known in PROMPT_COLUMNS:
        if known in lower:
            return lower[known]
    raise SourceError(
        f"{place} has no column that is known to hold prompts. Its columns: {listed}. "
        "Name the right one with --column, or with `column` of the source in the profile."
    )
