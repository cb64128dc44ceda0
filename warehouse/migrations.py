"""Numbered SQL migrations and the views, applied once, whoever comes first.

`sql/migrations/NNN_name.sql` change tables and are never edited once released; `sql/views/*.sql`
are replaced as a whole whenever their text differs from the one the lake was last given.  Both
happen in one transaction under the commit lock, so that concurrent opens migrate once.

Left out: downgrades.  A lake made by a newer version is refused with a clear error.
"""

import hashlib
from functools import cache
from importlib.resources import files

import duckdb

from schemas.errors import WarehouseError
from warehouse.publishing import point_view

_SQL = files("warehouse") / "sql"
_VIEWS = 0  # the row of `migrations` that holds the hash of the views instead of a name
_CREATE = (
    "CREATE TABLE IF NOT EXISTS migrations(number INTEGER, name VARCHAR, applied_at TIMESTAMPTZ)"
)


def scripts(folder: str) -> list[tuple[str, str]]:
    """(file name, text) of `sql/<folder>/*.sql`, in order."""
    found = [(f.name, f.read_text()) for f in (_SQL / folder).iterdir() if f.name.endswith(".sql")]
    return sorted(found)


def newest() -> int:
    """Number of the last migration this code knows."""
    return max(int(name.split("_")[0]) for name, _ in scripts("migrations"))


@cache
def views_hash() -> str:
    """Hash of all view files: a lake whose views have another is given these."""
    text = "".join(text for _, text in scripts("views"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def state(connection: duckdb.DuckDBPyConnection) -> tuple[int, str]:
    """(last migration, hash of the views) of the attached lake; (0, "") for an empty one."""
    try:
        rows = connection.execute("SELECT number, name FROM migrations").fetchall()
    except duckdb.CatalogException:
        return 0, ""
    views = [name for number, name in rows if number == _VIEWS]
    return max((number for number, _ in rows), default=0), views[0] if views else ""


def check(connection: duckdb.DuckDBPyConnection, where: str) -> bool:
    """Whether the lake is up to date; raises WarehouseError if it is newer than this code."""
    number, views = state(connection)
    if number > newest():
        raise WarehouseError(
            f"The lake at {where} was made by a newer DiffChat (its migration {number}, this "
            f"version knows {newest()}): upgrade DiffChat, or set $DIFFCHAT_HOME to another folder."
        )
    return number == newest() and views == views_hash()


def migrate(connection: duckdb.DuckDBPyConnection, where: str) -> None:
    """Bring the lake up to date in one transaction; call it under the commit lock."""
    if check(connection, where):
        return
    number, _ = state(connection)
    connection.execute("BEGIN")
    try:
        connection.execute(_CREATE)
        for name, text in scripts("migrations"):
            if int(name.split("_")[0]) > number:
                connection.execute(text)
                connection.execute(
                    "INSERT INTO migrations VALUES (?, ?, now())", [int(name.split("_")[0]), name]
                )
        for _, text in scripts("views"):
            connection.execute(text)
        point_view(connection)
        connection.execute("DELETE FROM migrations WHERE number = ?", [_VIEWS])
        connection.execute("INSERT INTO migrations VALUES (?, ?, now())", [_VIEWS, views_hash()])
        connection.execute("COMMIT")
        # Other sessions that write must not inline rows either, see `connection.attach`.
        connection.execute("CALL lake.set_option('data_inlining_row_limit', 0)")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
