"""Questions in SQL that cannot write: one SELECT, in a read-only transaction.

Prompts are data: values are bound, never pasted into SQL.  A session opened with
`read_only=True` (what `diffchat sql` uses) may also touch no file but the lake's own and can
change no setting.

Left out: statements other than SELECT, SHOW, DESCRIBE and EXPLAIN.
"""

import json
import re
from functools import cache
from typing import Any

import duckdb

from schemas.errors import WarehouseError

# Table functions that change a lake or run SQL given as text. A read-only attachment refuses most
# of them, but not all (`ducklake_cleanup_old_files` deletes files).
_CHANGING = re.compile(
    r"^(ducklake_)?(expire_snapshots|cleanup_old_files|delete_orphaned_files|merge_adjacent_files"
    r"|rewrite_data_files|flush_inlined_data|add_data_files|set_option|set_commit_message)$"
    r"|^(query|query_table|postgres_\w+|sqlite_\w+|write_\w+|nextval|checkpoint)$"
)


def check_reading(sql: str) -> None:
    """Raise WarehouseError unless `sql` is one statement that only reads."""
    try:
        statements = duckdb.extract_statements(sql)
    except duckdb.Error as error:
        raise WarehouseError(f"This is not SQL that DuckDB understands: {error}") from None
    if len(statements) != 1:
        raise WarehouseError(
            f"One statement at a time, this has {len(statements)} (a PIVOT without IN counts as "
            "two: name its values)."
        )
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        check_reading(_EXPLAIN.sub("", sql, count=1))
        return
    if kind != duckdb.StatementType.SELECT:
        raise WarehouseError(
            "Only questions are allowed here (SELECT, SHOW, DESCRIBE, EXPLAIN), this is "
            f"{kind.name}."
        )
    for name in _functions(sql):
        if _CHANGING.match(name):
            raise WarehouseError(f"The function {name} is not allowed in a question.")


_EXPLAIN = re.compile(r"^\s*explain\s+(analy[sz]e\s+)?", re.IGNORECASE)


def _functions(sql: str) -> set[str]:
    """Names, lower case, of all functions that a SELECT calls, from DuckDB's own parser."""
    answer = _parser().cursor().execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
    tree = json.loads(answer[0]) if answer else {"error": True}
    if tree["error"]:
        raise WarehouseError("Only questions are allowed here: SELECT, SHOW, DESCRIBE, EXPLAIN.")
    found: set[str] = set()
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if isinstance(node.get("function_name"), str):
                found.add(node["function_name"].lower())
            pending += node.values()
        elif isinstance(node, list):
            pending += node
    return found


@cache
def _parser() -> duckdb.DuckDBPyConnection:
    """A DuckDB without data or access, for its parser."""
    return duckdb.connect(config={"enable_external_access": "false", "threads": 1})


def lock_down(connection: duckdb.DuckDBPyConnection, folders: list[str]) -> None:
    """Allow no files but those below `folders`, and no change of settings, from here on."""
    connection.execute("SET allowed_directories = ?", [folders])
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
