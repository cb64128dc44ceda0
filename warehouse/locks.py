"""One committer at a time, over threads and processes.

With a SQLite catalog the lock is a file beside it (`flock`: the kernel drops it when its holder
dies).  With PostgreSQL it is an advisory lock of the catalog's database, so that builds on other
machines wait too.  The holder leaves its process id in the file; whoever finds one there knows
that the last commit was cut short and can clear what it left behind.

Left out: network file systems whose `flock` does nothing; use a PostgreSQL catalog there.
"""

import fcntl
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schemas.errors import WarehouseError

ADVISORY_KEY = 0x64696666  # "diff"; any constant that every version of this project shares
PATIENCE_S = 600.0  # the longest commit seen is a publish of a million rows, about 30 s


class CommitLock:
    """`with lock.hold() as interrupted:`; re-entrant within a thread."""

    def __init__(self, file: Path, postgres: str | None = None) -> None:
        self._file, self._postgres = file, postgres
        self._thread = threading.RLock()
        self._depth = 0

    @contextmanager
    def hold(self, patience_s: float = PATIENCE_S) -> Iterator[bool]:
        """Hold the lock; yields whether the previous holder died in the middle of a commit.

        Raises WarehouseError after `patience_s` seconds of waiting.
        """
        with self._thread:
            self._depth += 1
            try:
                if self._depth > 1:
                    yield False
                elif self._postgres:
                    with _advisory(self._postgres, patience_s):
                        yield False
                else:
                    with _flock(self._file, patience_s) as interrupted:
                        yield interrupted
            finally:
                self._depth -= 1


@contextmanager
def _flock(file: Path, patience_s: float) -> Iterator[bool]:
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        deadline = time.monotonic() + patience_s
        wait = 0.001
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(handle, 32, 0).decode() or "unknown"
                    raise WarehouseError(
                        f"{file} is held by process {holder} for over {patience_s:.0f} s: "
                        "wait for that build, or stop it."
                    ) from None
                time.sleep(wait)
                wait = min(wait * 2, 0.1)
        interrupted = os.fstat(handle).st_size > 0
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield interrupted
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


@contextmanager
def _advisory(postgres: str, patience_s: float) -> Iterator[None]:
    with connect_postgres(postgres) as connection:
        connection.execute("SELECT set_config('lock_timeout', %s, false)", (f"{patience_s:.0f}s",))
        connection.execute("SELECT pg_advisory_lock(%s)", (ADVISORY_KEY,))
        yield


def connect_postgres(url: str) -> Any:
    """An autocommit psycopg connection; WarehouseError if the package or the server is absent."""
    try:
        import psycopg
    except ImportError:
        raise WarehouseError(
            "A PostgreSQL catalog needs the package psycopg: pip install 'psycopg[binary]'."
        ) from None
    try:
        return psycopg.connect(url, autocommit=True)
    except psycopg.OperationalError as error:
        raise WarehouseError(
            f"PostgreSQL at {url.split('@')[-1]} does not answer: {error}"
        ) from None
