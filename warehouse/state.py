"""When did a table last change, and what was counted then.

A to-do is a pure function of the tables it reads, so its count is worth keeping with the snapshot
in which any of them last changed; asking the catalog for that number reads no data.  A rerun with
nothing to do over 100,000 triples then costs no scan at all.  The cache is a file beside the lake
that may be deleted at any time.

Left out: expiry.  There is one row for each question asked, replaced when its answer changes.
"""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from warehouse.connection import first_row

_CREATE = "CREATE TABLE IF NOT EXISTS counts(question TEXT PRIMARY KEY, state TEXT, answer INTEGER)"


def changed_at(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> int:
    """The last snapshot in which one of `tables` gained or lost rows; 0 if they are all empty.

    Merging files does not count as a change; rewriting them in a purge does.
    """
    names = ", ".join(f"'{name}'" for name in tables)
    row = first_row(
        connection,
        f"""
        SELECT max(greatest(f.begin_snapshot, coalesce(f.end_snapshot, 0)))
        FROM (
            SELECT table_id, begin_snapshot, end_snapshot
            FROM __ducklake_metadata_lake.ducklake_data_file
            UNION ALL
            SELECT table_id, begin_snapshot, end_snapshot
            FROM __ducklake_metadata_lake.ducklake_delete_file
        ) AS f
        JOIN __ducklake_metadata_lake.ducklake_table AS t USING (table_id)
        WHERE t.table_name IN ({names})
        """,
    )
    return row[0] or 0 if row else 0


def lake_uuid(connection: duckdb.DuckDBPyConnection) -> str:
    """Tells this lake from another one made later at the same place."""
    row = first_row(
        connection,
        "SELECT table_uuid::VARCHAR FROM __ducklake_metadata_lake.ducklake_table "
        "WHERE table_name = 'migrations' ORDER BY table_id LIMIT 1",
    )
    return row[0] if row else ""


class CountCache:
    """Answers of `count_todo`, kept in a file; a cache that cannot be used is no error."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "counts.sqlite"

    def get(self, question: str, state: str) -> int | None:
        try:
            with sqlite3.connect(self._file, timeout=1) as connection:
                row = connection.execute(
                    "SELECT answer FROM counts WHERE question = ? AND state = ?", (question, state)
                ).fetchone()
            return row[0] if row else None
        except sqlite3.Error:
            return None

    def put(self, question: str, state: str, answer: int) -> None:
        try:
            with sqlite3.connect(self._file, timeout=1) as connection:
                connection.execute(_CREATE)
                connection.execute(
                    "INSERT OR REPLACE INTO counts VALUES (?, ?, ?)", (question, state, answer)
                )
        except sqlite3.Error:
            return


def question_of(sql: str, params: dict[str, Any], views: str) -> str:
    """A name for a count: its SQL, its parameters and the text of the views behind it."""

    def plain(value: Any) -> str:
        if isinstance(value, datetime):
            return value.isoformat()
        raise TypeError(f"{value!r} cannot be a parameter of a to-do")

    text = json.dumps([sql, params, views], default=plain, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
