"""One committer: lock, anti-join on the unique columns, retry with back-off.

DuckLake has no unique keys, and two processes with the same to-do were seen to commit it twice.
So a commit holds the cross-process lock, and inside its transaction it inserts only the rows whose
key is not there yet and whose prompt or triple was not removed.  The first committed row wins.
Readers outside this lock (a plain `duckdb` session) can still make SQLite refuse a commit: those
are retried.

Left out: merging or updating rows.  Rows are facts; a later fact is another row.
"""

import contextlib
import errno
import random
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

import duckdb
import pyarrow as pa

from schemas.errors import WarehouseError
from schemas.records import TABLES
from warehouse.connection import Address, first_row
from warehouse.locks import CommitLock

ATTEMPTS = 8  # with back-off from 20 ms to 2 s: about 5 s in all
Result = TypeVar("Result")
Derive = Callable[[pa.Table], Mapping[str, pa.Table]]


def conform(name: str, rows: pa.Table) -> pa.Table:
    """`rows` with exactly the columns of table `name`: missing ones null, types cast.

    Raises WarehouseError for an unknown table or column, a value that does not fit, a null in a
    unique column, and for NaN or infinity, which no row may hold.
    """
    if name not in TABLES:
        raise WarehouseError(f"There is no table {name!r}; known: {', '.join(sorted(TABLES))}.")
    schema, keys = TABLES[name]
    unknown = sorted(set(rows.column_names) - set(schema.names))
    if unknown:
        raise WarehouseError(f"Table {name} has no column {', '.join(unknown)}.")
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            column = pa.nulls(rows.num_rows, field.type)
        else:
            try:
                column = rows.column(field.name).cast(field.type)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise WarehouseError(f"{name}.{field.name} does not fit: {error}") from None
        if field.name in keys and column.null_count:
            raise WarehouseError(f"{name}.{field.name} identifies a row and must not be null.")
        if pa.types.is_floating(field.type) and not _finite(column):
            raise WarehouseError(
                f"{name}.{field.name} holds NaN or infinity: store null and a failed status."
            )
        columns.append(column)
    return pa.Table.from_arrays(columns, schema=schema)


def _finite(column: pa.ChunkedArray) -> bool:
    import numpy as np  # 0.2 s, which a rerun with nothing to do need not pay

    return all(np.isfinite(chunk.drop_null().to_numpy()).all() for chunk in column.chunks)


class Committer:
    """Writes to one lake; use it as `lake.append` and `lake.append_all`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, lock: CommitLock, address: Address
    ) -> None:
        self._connection, self._lock, self._address = connection, lock, address

    def append_all(
        self, tables: Mapping[str, pa.Table], derive: Derive | None = None
    ) -> dict[str, int]:
        """Insert the rows that are new, all tables in one commit; returns how many of each.

        `derive` maps the new rows of the first table to rows of further tables, committed with
        them: a call that lost the race for its id brings no triples.
        """
        ready = {name: conform(name, rows) for name, rows in tables.items()}
        if not any(rows.num_rows for rows in ready.values()):
            return dict.fromkeys(ready, 0)

        def work(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
            added = {}
            pending = list(ready.items())
            while pending:
                name, rows = pending.pop(0)
                if derive and not added:
                    rows = _select_new(connection, name, rows)
                    more = derive(rows) if rows.num_rows else {}
                    pending += [(other, conform(other, found)) for other, found in more.items()]
                added[name] = added.get(name, 0) + _insert_new(connection, name, rows)
            return added

        return self.transaction(work)

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        """Run `work` in one transaction under the commit lock, again if the catalog was busy.

        Raises WarehouseError when the disk is full or the catalog stays locked; nothing of the
        transaction is committed then.
        """
        with self._lock.hold() as interrupted:
            if interrupted:
                self.clear_orphans()
            for attempt in range(ATTEMPTS):
                try:
                    return self._once(work)
                except duckdb.Error as error:
                    if not is_busy(error) or attempt == ATTEMPTS - 1:
                        raise self._explain(error) from error
                    time.sleep(min(2.0, 0.02 * 2**attempt) * random.uniform(0.5, 1.5))
        raise AssertionError("unreachable")

    def _once(self, work: Callable[[duckdb.DuckDBPyConnection], Result]) -> Result:
        self._connection.execute("BEGIN")
        try:
            result = work(self._connection)
            self._connection.execute("COMMIT")
            return result
        except BaseException:
            with contextlib.suppress(duckdb.Error):  # a failed COMMIT has already rolled back
                self._connection.execute("ROLLBACK")
            raise

    def clear_orphans(self) -> int:
        """Delete data files that no snapshot knows: the remains of a killed commit."""
        with self._lock.hold():
            return len(
                self._connection.execute(
                    "CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)"
                ).fetchall()
            )

    def _explain(self, error: duckdb.Error) -> Exception:
        said = str(error)
        if is_full(error):
            return WarehouseError(
                f"The disk of {self._address.data_path} is full: nothing of this commit was kept "
                "and nothing earlier was lost. Free some space and run the same command again."
            )
        if is_busy(error):
            return WarehouseError(
                f"The catalog {self._address.public()} stayed locked over {ATTEMPTS} attempts: "
                f"close other sessions that write to it. ({said})"
            )
        if "ermission denied" in said or "readonly database" in said or "Read-only" in said:
            return WarehouseError(
                f"The warehouse at {self._address.folder} cannot be written: {said}"
            )
        return error


def is_busy(error: duckdb.Error) -> bool:
    """Whether trying again may help."""
    said = str(error).lower()
    return any(sign in said for sign in ("database is locked", "conflict", "serialize access"))


def is_full(error: BaseException) -> bool:
    said = str(error).lower()
    return (
        getattr(error, "errno", None) == errno.ENOSPC
        or "no space left" in said
        or "disk is full" in said
        or "disk full" in said
    )


# Whoever succeeds first has succeeded: a later row of the same call, render, … is dropped.
_SUCCEEDS_ONCE = {
    "teacher_calls": "call_id",
    "renders": "render_id",
    "scores": "score_id",
    "evaluation_outputs": "output_id",
}


def _fresh(name: str) -> str:
    """SQL for the rows of view `incoming` that table `name` lacks and nobody removed."""
    schema, keys = TABLES[name]
    key = ", ".join(keys)
    sql = f"SELECT * FROM incoming ANTI JOIN {name} USING ({key})"
    if name in _SUCCEEDS_ONCE:
        once = _SUCCEEDS_ONCE[name]
        sql += f" ANTI JOIN (SELECT {once} FROM {name} WHERE status = 'ok') USING ({once})"
    if name != "removals":
        for column in {"raw_prompt_id", "triple_id"} & set(schema.names):
            sql = f"SELECT * FROM ({sql}) ANTI JOIN removals ON {column} = removed_id"
    return f"{sql} QUALIFY row_number() OVER (PARTITION BY {key}) = 1"


def _select_new(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> pa.Table:
    connection.register("incoming", rows)
    try:
        return conform(name, connection.execute(_fresh(name)).to_arrow_table())
    finally:
        connection.unregister("incoming")


def _insert_new(connection: duckdb.DuckDBPyConnection, name: str, rows: pa.Table) -> int:
    if not rows.num_rows:
        return 0
    connection.register("incoming", rows)
    try:
        answer = first_row(connection, f"INSERT INTO {name} BY NAME {_fresh(name)}")
        return int(answer[0]) if answer else 0
    finally:
        connection.unregister("incoming")
