"""Connections that read one lake: as it is now, or as it was when a version was published.

    readers = Readers(address, connection)
    answer(readers.current(), "FROM renders LIMIT 3", None)
    readers.of_version(2)

Left out: what may be asked (`reading`), and anything that writes.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import WarehouseError
from warehouse.connection import Address, attach, connect
from warehouse.reading import lock_down

Params = Sequence[Any] | Mapping[str, Any] | None


@contextmanager
def one_snapshot(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """One snapshot of the lake for several questions, none of which can write."""
    connection.execute("BEGIN TRANSACTION READ ONLY")
    try:
        yield connection
    finally:
        connection.execute("ROLLBACK")


def answer(connection: duckdb.DuckDBPyConnection, sql: str, params: Params = None) -> pa.Table:
    with one_snapshot(connection):
        return connection.execute(sql, params).to_arrow_table()


class Readers:
    """Of one open lake; safe to share between threads."""

    def __init__(self, address: Address, connection: duckdb.DuckDBPyConnection) -> None:
        self._address, self._connection = address, connection
        self._local = threading.local()
        self._versions: dict[int, duckdb.DuckDBPyConnection] = {}
        self._guard = threading.Lock()

    def current(self) -> duckdb.DuckDBPyConnection:
        """This thread's own cursor on the lake as it is."""
        cursor = getattr(self._local, "cursor", None)
        if cursor is None:
            cursor = self._connection.cursor()
            cursor.execute("USE lake")
            self._local.cursor = cursor
        return cursor

    def of_version(self, version: int) -> duckdb.DuckDBPyConnection:
        """A connection whose lake stands at the snapshot of `version`.

        Raises WarehouseError for a version that does not exist or was retired.
        """
        snapshot = self._snapshot_of(version)
        with self._guard:
            if version not in self._versions:
                connection = connect(self._address)
                attach(connection, self._address, snapshot=snapshot)
                # After a purge an older version is bound to a newer snapshot than its own.
                connection.execute(
                    "CREATE TEMP VIEW instructpe AS "
                    f"SELECT * FROM lake.published_rows WHERE version = {int(version)}"
                )
                lock_down(connection, [self._address.data_path])
                self._versions[version] = connection
            return self._versions[version]

    def forget_versions(self) -> None:
        """Close what stands at versions: a purge binds them to other snapshots."""
        with self._guard:
            for connection in self._versions.values():
                connection.close()
            self._versions.clear()

    def _snapshot_of(self, version: int) -> int:
        sql = "SELECT snapshot_id, status FROM dataset_versions WHERE version = ?"
        found = answer(self.current(), sql, [version]).to_pylist()
        if not found:
            sql = "SELECT version FROM dataset_versions ORDER BY 1"
            known = answer(self.current(), sql).column(0).to_pylist()
            said = ", ".join(map(str, known)) or "none yet"
            raise WarehouseError(f"There is no dataset version {version}; published: {said}.")
        if found[0]["status"] != "published":
            raise WarehouseError(
                f"Dataset version {version} was retired, because rows of it had to be removed."
            )
        return found[0]["snapshot_id"]
