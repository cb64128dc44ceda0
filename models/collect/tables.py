"""Rows of CSV, TSV, JSON, JSONL and Parquet files, one by one, each with what is wrong with it.

A row that cannot be parsed is a row with a reason, and reading goes on behind it.  Left out: which
column is wanted (`readers`), JSON arrays (`json_array`).
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from models.collect.lines import KEPT_CHARACTERS, Physical, physical_lines
from schemas.errors import SourceError

# A quoted field may span lines.  An unbalanced quote must not swallow the file: past these limits
# its line is refused and reading goes on with the line after it.
MAX_RECORD_LINES = 50
MAX_RECORD_CHARACTERS = 100_000
csv.field_size_limit(max(csv.field_size_limit(), 1 << 22))  # our own bounds are tighter
BATCH_ROWS = 1_024


Choose = Callable[[tuple[str, ...]], Sequence[str]]


class Row(NamedTuple):
    """A row as a mapping of columns or as a bare string; or `text` and the reason why not."""

    values: dict[str, Any] | str | None
    text: str = ""
    reason: str | None = None
    detail: str = ""


def rows_of(path: Path, kind: str, choose: Choose) -> Iterator[Row]:
    """The rows of a table.  Raises SourceError when it cannot be read as that kind.

    `choose` names the columns wanted; where the format allows it only those are read, so that
    pictures beside the prompts cost nothing.
    """
    if kind == "parquet":
        return _parquet_rows(path, choose)
    if kind == "csv":
        return _csv_rows(path)
    if kind == "tsv":
        return _tsv_rows(path)
    if kind == "json":
        from models.collect.json_array import json_rows

        return json_rows(path)
    return (parse_json(line) for line in physical_lines(path))


def refused(text: str, reason: str, detail: str) -> Row:
    return Row(None, text[:KEPT_CHARACTERS], reason, detail)


def parse_json(line: Physical) -> Row:
    """One JSON object, or one JSON string, as a row."""
    text = line.text
    if line.reason is not None:
        return refused(text, line.reason, line.detail)
    if not text.strip():
        return refused(text, "empty", "")
    try:
        value = json.loads(text)
    except RecursionError:
        return refused(text, "malformed", "JSON is nested too deeply")
    except ValueError as error:
        return refused(text, "malformed", f"not JSON: {error}"[:200])
    if isinstance(value, dict | str):
        return Row(value)
    return refused(text, "malformed", f"an object was expected, not a {type(value).__name__}")


def _csv_rows(path: Path) -> Iterator[Row]:
    lines = physical_lines(path)
    header = _header(lines, path)
    delimiter = next((mark for mark in ",;\t|" if mark in header.text), ",")
    columns = [name.strip() for name in _parse_csv(header.text, delimiter) or [header.text]]
    for line, fields in _records(lines, delimiter):
        if line.reason is not None:
            yield refused(line.text, line.reason, line.detail)
        elif fields is None:
            yield refused(line.text, "malformed", "a quotation mark is never closed")
        elif not any(fields):
            yield refused(line.text, "empty", "")
        else:
            yield _tabular(columns, fields, line.text)


def _header(lines: Iterator[Physical], path: Path) -> Physical:
    header = next(lines, None)
    if header is None:  # a byte order mark and nothing behind it
        raise SourceError(f"{path} has no header: there is nothing to collect in it.")
    if header.reason is not None:
        raise SourceError(f"The header of {path} cannot be read: {header.detail}.")
    return header


def _records(
    lines: Iterator[Physical], delimiter: str
) -> Iterator[tuple[Physical, list[str] | None]]:
    """CSV records as (first line, fields); fields are None where a quote is never closed."""
    waiting: list[Physical] = []  # read ahead, newest last
    while True:
        line = waiting.pop(0) if waiting else next(lines, None)
        if line is None:
            return
        if line.reason is not None:
            yield line, None
            continue
        fields = _parse_csv(line.text, delimiter)
        if fields is None:
            fields, used, waiting = _join(line, waiting, lines, delimiter)
            del waiting[:used]
        yield line, fields


def _join(
    first: Physical, waiting: list[Physical], lines: Iterator[Physical], delimiter: str
) -> tuple[list[str] | None, int, list[Physical]]:
    """Close the quote of `first` with the lines behind it: (fields, lines used, lines read)."""
    read = list(waiting)
    texts, size = [first.text], len(first.text)
    for index in range(MAX_RECORD_LINES):
        if index == len(read):
            line = next(lines, None)
            if line is None:
                break
            read.append(line)
        line = read[index]
        size += len(line.text)
        if line.reason is not None or size > MAX_RECORD_CHARACTERS:
            break
        texts.append(line.text)
        if '"' in line.text:
            fields = _parse_csv("\n".join(texts), delimiter)
            if fields is not None:
                return fields, index + 1, read
    return None, 0, read


def _parse_csv(text: str, delimiter: str) -> list[str] | None:
    """The fields of one record, or None where a quote is still open at its end."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        # As one item: the reader would take every separator of Unicode for the end of a record.
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error):
            return None
    except StopIteration:
        return []
    # Stray quotes inside a field: take them as they stand.
    return text.split(delimiter)


def _tabular(columns: list[str], fields: list[str], text: str) -> Row:
    if len(fields) > len(columns):
        detail = f"{len(fields)} fields under {len(columns)} columns"
        return refused(text, "malformed", detail)
    return Row(dict(zip(columns, fields, strict=False)))


def _tsv_rows(path: Path) -> Iterator[Row]:
    """Tab-separated values have no quoting: a field is what stands between two tabs.

    Spreadsheets quote fields with quotation marks in them all the same; those are unquoted.
    """
    lines = physical_lines(path)
    header = _header(lines, path)
    columns = [name.strip() for name in header.text.split("\t")]
    for line in lines:
        fields = [_unquote(field) for field in line.text.split("\t")]
        if line.reason is not None:
            yield refused(line.text, line.reason, line.detail)
        elif not any(fields):
            yield refused(line.text, "empty", "")
        else:
            yield _tabular(columns, fields, line.text)


def _unquote(field: str) -> str:
    if len(field) < 2 or field[0] != '"' or field[-1] != '"':
        return field
    inner = field[1:-1]
    if '"' in inner.replace('""', ""):
        return field
    # `"word"` as a whole may be meant; a spreadsheet doubles the marks inside.
    return inner.replace('""', '"') if '""' in inner else field


def _parquet_rows(path: Path, choose: Choose) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            columns = list(choose(tuple(file.schema_arrow.names)))
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns):
                yield from _batch_rows(batch)
    except (pa.ArrowException, OSError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SourceError(f"{path} is not a readable Parquet file: {said}") from error


def _batch_rows(batch: Any) -> Iterator[Row]:
    try:
        yield from map(Row, batch.to_pylist())
        return
    except UnicodeDecodeError:
        pass  # one bad cell: find it, keep the others
    for index in range(batch.num_rows):
        try:
            row = Row(batch.slice(index, 1).to_pylist()[0])
        except UnicodeDecodeError as error:
            row = refused("", "not_text", str(error)[:200])
        yield row
