"""Claims: who works on what, so that two builds do not pay for the same call.

A claim is (stage, id, owner, lease expiry) in a small transactional database beside the catalog:
a SQLite file, or a table in the PostgreSQL of the catalog.  A claim is a courtesy, not the guard
against doubles (that is the anti-join of a commit): losing one costs money, never correctness.

Left out: fairness and waiting.  What another owner holds is simply not granted.
"""

import os
import socket
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.errors import WarehouseError
from warehouse.connection import Address
from warehouse.locks import connect_postgres

_CREATE = (
    "CREATE TABLE IF NOT EXISTS {name}(stage TEXT, id TEXT, owner TEXT, "
    "expires DOUBLE PRECISION, PRIMARY KEY (stage, id))"
)


def this_process() -> str:
    """Host, process id and start time: an owner whose death others on the host can see."""
    return f"{socket.gethostname()}:{os.getpid()}:{_started(os.getpid())}"


class Claims:
    """The claims of one lake; opened on first use, safe to share between threads."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._guard = threading.Lock()
        self._connection: Any = None

    def take(
        self, stage: str, ids: Sequence[str], owner: str | None = None, lease_s: float = 300.0
    ) -> list[str]:
        """Claim `ids` for `lease_s` seconds; returns those granted, in order.

        What the owner holds already is renewed and granted.  Expired claims and those of dead
        processes of this host are taken over, so that a rerun after `kill -9` need not wait.
        """
        owner = owner or this_process()
        now = time.time()
        with self._guard:
            self._begin()
            try:
                self._bury(stage, now)
                self._run_many(
                    "INSERT INTO {name}(stage, id, owner, expires) VALUES (?, ?, ?, ?) "
                    "ON CONFLICT (stage, id) DO UPDATE SET expires = excluded.expires "
                    "WHERE {name}.owner = excluded.owner",
                    [(stage, id, owner, now + lease_s) for id in ids],
                )
                held = {
                    row[0]
                    for row in self._run(
                        "SELECT id FROM {name} WHERE stage = ? AND owner = ?", (stage, owner)
                    )
                }
                self._run("COMMIT")
            except BaseException:
                self._run("ROLLBACK")
                raise
        return [id for id in ids if id in held]

    def release(self, stage: str, ids: Sequence[str], owner: str | None = None) -> None:
        """Give up claims, once their rows are committed or the work was abandoned."""
        owner = owner or this_process()
        with self._guard:
            self._begin()
            self._run_many(
                "DELETE FROM {name} WHERE stage = ? AND id = ? AND owner = ?",
                [(stage, id, owner) for id in ids],
            )
            self._run("COMMIT")

    def owner(self) -> str:
        return this_process()

    def close(self) -> None:
        with self._guard:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _bury(self, stage: str, now: float) -> None:
        """Drop claims that have expired or whose process is dead."""
        self._run("DELETE FROM {name} WHERE expires < ?", (now,))
        rows = self._run("SELECT DISTINCT owner FROM {name} WHERE stage = ?", (stage,))
        for owner in [row[0] for row in rows]:
            if _is_dead(owner):
                self._run("DELETE FROM {name} WHERE owner = ?", (owner,))

    def _begin(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        self._run("BEGIN" if self._address.postgres else "BEGIN IMMEDIATE")
        if self._address.postgres:
            self._run("LOCK TABLE {name} IN EXCLUSIVE MODE")

    def _connect(self) -> Any:
        if self._address.postgres:
            connection = connect_postgres(self._address.postgres)
            connection.execute("SELECT pg_advisory_lock(7)")  # CREATE IF NOT EXISTS can collide
            connection.execute(_CREATE.format(name="diffchat_claims"))
            connection.execute("SELECT pg_advisory_unlock(7)")
            return connection
        file = Path(self._address.folder) / "claims.sqlite"
        try:
            connection = sqlite3.connect(
                file, timeout=60, isolation_level=None, check_same_thread=False
            )
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_CREATE.format(name="claims"))
        except sqlite3.Error as error:
            raise WarehouseError(f"The claims in {file} cannot be opened: {error}") from None
        return connection

    def _sql(self, sql: str) -> str:
        if self._address.postgres:
            return sql.format(name="diffchat_claims").replace("?", "%s")
        return sql.format(name="claims")

    def _run(self, sql: str, values: tuple[Any, ...] = ()) -> list[Any]:
        cursor = self._connection.execute(self._sql(sql), values)
        return cursor.fetchall() if cursor.description else []

    def _run_many(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            self._connection.cursor().executemany(self._sql(sql), rows)


def _is_dead(owner: str) -> bool:
    """Whether `owner` names a process of this host that no longer runs."""
    host, _, rest = owner.rpartition(":")[0].rpartition(":")
    started = owner.rpartition(":")[2]
    if host != socket.gethostname() or not rest.isdigit():
        return False
    return _started(int(rest)) != started


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
