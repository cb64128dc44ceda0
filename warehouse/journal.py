"""An append-only journal: an answer is safe on arrival, and committed later in a batch.

A commit to the lake takes about 15 ms and a teacher answers 300 times a second, so each answer is
one line of JSON in this process's own segment file, and `ingest` commits the lines in batches.
Ingesting is idempotent (rows already committed are dropped by their key), so a kill at any moment
loses nothing that was appended: a leftover segment is ingested by whoever opens the lake next.

What is durable when: a line is handed to the kernel before `append` returns, which a killed
process cannot undo.  A power cut can, so the file is also synced to disk at most once every
`SYNC_S` seconds of appending and at every ingest.  A torn last line (a kill or a full disk in the
middle of a write) is dropped; anything before it is whole.

Left out: journals of remote machines; each machine ingests its own.
"""

import base64
import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from schemas.errors import WarehouseError
from schemas.records import TABLES
from warehouse.commits import Derive, is_full

SYNC_S = 1.0  # at a power cut at most this much paid work is lost; syncing each line costs 5 ms
BATCH = 5_000  # rows a commit; bounds the memory of an ingest
SUFFIX = ".jsonl"

Append = Callable[[Mapping[str, pa.Table], Derive | None], dict[str, int]]


class Journal:
    """One process's segment of one table's journal; safe to share between threads."""

    def __init__(self, folder: Path, table: str, append_all: Append) -> None:
        if table not in TABLES:
            raise WarehouseError(f"There is no table {table!r} to keep a journal of.")
        self.table = table
        self._folder, self._append_all = folder / "journal", append_all
        self._guard = threading.Lock()
        self._handle: int | None = None
        self._file: Path | None = None
        self._synced = 0.0
        self._pending = 0

    def append(self, record: Mapping[str, Any]) -> None:
        """Keep one row, a mapping with the table's columns; times are aware datetimes.

        Raises WarehouseError if it cannot be written (a full disk): the row is then not kept,
        earlier ones are.
        """
        line = orjson.dumps(record, default=_plain) + b"\n"
        with self._guard:
            handle = self._open()
            before = os.lseek(handle, 0, os.SEEK_END)
            try:
                written = os.write(handle, line)
                if written != len(line):
                    raise OSError(28, "No space left on device")
            except OSError as error:
                os.ftruncate(handle, before)  # a torn line must not precede a whole one
                raise self._explain(error) from None
            self._pending += 1
            if time.monotonic() - self._synced > SYNC_S:
                os.fdatasync(handle)
                self._synced = time.monotonic()

    @property
    def pending(self) -> int:
        """Rows appended and not ingested yet."""
        return self._pending

    def ingest(self, derive: Derive | None = None) -> dict[str, int]:
        """Commit all that was appended; returns rows added by table.

        `derive` maps the new rows to rows of further tables, committed with them.
        """
        with self._guard:
            handle, file = self._handle, self._file
            if handle is None or file is None or not self._pending:
                return {self.table: 0}
            self._handle, self._pending = None, 0  # answers go to a new segment meanwhile
        try:
            os.fdatasync(handle)
            added = _ingest_file(file, self.table, self._append_all, derive)
            file.unlink()
        finally:
            os.close(handle)  # if the commit failed, the segment waits for the next open
        return added

    def close(self) -> None:
        """Leave: an empty segment is removed, one with rows stays for the next open."""
        with self._guard:
            if self._handle is None or self._file is None:
                return
            if os.fstat(self._handle).st_size == 0:
                self._file.unlink(missing_ok=True)
            else:
                os.fdatasync(self._handle)
            os.close(self._handle)
            self._handle = None

    def _open(self) -> int:
        if self._handle is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"{self.table}.{os.getpid()}.{uuid.uuid4().hex[:8]}{SUFFIX}"
            self._file = self._folder / name
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._handle = os.open(self._file, flags, 0o666)
            fcntl.flock(self._handle, fcntl.LOCK_EX)  # held for life: tells others it is in use
        return self._handle

    def _explain(self, error: OSError) -> WarehouseError:
        if is_full(error):
            return WarehouseError(
                f"The disk of {self._folder} is full: the last answer could not be kept, all "
                "earlier ones are. Free some space and run the same command again."
            )
        return WarehouseError(f"The journal in {self._folder} cannot be written: {error}")


def ingest_leftovers(
    folder: Path, append_all: Append, derive: Mapping[str, Derive] | None = None
) -> dict[str, int]:
    """Commit the segments of dead processes; returns rows added by table.

    A segment whose owner lives is locked by it and left alone.
    """
    added: dict[str, int] = {}
    for file in sorted((folder / "journal").glob(f"*{SUFFIX}")):
        try:
            handle = os.open(file, os.O_RDWR)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            continue
        try:
            table = file.name.split(".")[0]
            more = _ingest_file(file, table, append_all, (derive or {}).get(table))
            for name, count in more.items():
                added[name] = added.get(name, 0) + count
            file.unlink(missing_ok=True)
        finally:
            os.close(handle)
    return added


def _ingest_file(
    file: Path, table: str, append_all: Append, derive: Derive | None
) -> dict[str, int]:
    added: dict[str, int] = {table: 0}
    rows: list[dict[str, Any]] = []

    def commit() -> None:
        if rows:
            arrow = _to_arrow(table, rows)
            for name, count in append_all({table: arrow}, derive).items():
                added[name] = added.get(name, 0) + count
            rows.clear()

    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.endswith(b"\n"):
                break  # torn: the process died while writing it
            try:
                rows.append(orjson.loads(line))
            except orjson.JSONDecodeError as error:
                raise WarehouseError(
                    f"{file}, line {number}, is not JSON ({error}). The file was changed by hand "
                    "or the disk is failing: move it away to go on without its rows."
                ) from None
            if len(rows) >= BATCH:
                commit()
    commit()
    return added


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, tuple):
        return list(value)  # named tuples such as schemas.units.Unit
    raise TypeError(f"{type(value).__name__} cannot be kept in a journal")


def _to_arrow(table: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema, _ = TABLES[table]
    unknown = sorted(set().union(*rows) - set(schema.names))
    if unknown:
        raise WarehouseError(f"Table {table} has no column {', '.join(unknown)}.")
    times = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    for row in rows:
        for name in times:
            if isinstance(row.get(name), str):
                row[name] = datetime.fromisoformat(row[name])
    return pa.Table.from_pylist(rows, schema=schema)
