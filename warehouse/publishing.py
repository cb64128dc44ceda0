"""Publish: write, audit, publish.

The candidate is the accepted rows of a decision set.  The caller's audit sees it as Arrow; if the
audit raises, nothing is committed and readers see what they saw before.  Else one commit holds the
rows and the line in `dataset_versions` that binds them to a snapshot of the lake.

Left out: the audit itself (Great Expectations, in `tasks`).
"""

import json
from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import WarehouseError
from schemas.records import PUBLISHED_ROWS
from warehouse.commits import Committer
from warehouse.connection import first_row

Audit = Callable[[pa.Table], Any]

# The first sighting of a raw prompt says where it came from and under which licence.
_CANDIDATE = """
SELECT
    t.triple_id, t.raw_prompt_id, t.parent_triple_id, t.turn, t.split, t.raw_prompt,
    t.instruction, t.edit_kind, t.target_prompt, t.intent, t.units, t.units_source,
    d.aesthetic_gain, d.preference_gain, o.source, o.licence
FROM live_triples AS t
JOIN (FROM decisions WHERE decision_set_id = $set AND accepted) AS d USING (triple_id)
LEFT JOIN (
    SELECT
        raw_prompt_id,
        arg_min(name, (line, source_id)) AS source,
        arg_min(o.licence, (line, source_id)) AS licence
    FROM occurrences AS o
    LEFT JOIN (
        SELECT source_id, arg_min(name, coalesce(collected_at, 'epoch'::TIMESTAMPTZ)) AS name
        FROM sources GROUP BY source_id
    ) AS s USING (source_id)
    GROUP BY raw_prompt_id
) AS o USING (raw_prompt_id)
"""
_COLUMNS = [name for name in PUBLISHED_ROWS.names if name != "version"]


def candidate(connection: duckdb.DuckDBPyConnection, decision_set: str) -> pa.Table:
    """Rows that publishing the set would publish: `PUBLISHED_ROWS` without `version`.

    Raises WarehouseError for an unknown set.
    """
    _check_set(connection, decision_set)
    rows = connection.execute(_CANDIDATE, {"set": decision_set}).to_arrow_table()
    schema = pa.schema([PUBLISHED_ROWS.field(name) for name in _COLUMNS])
    return rows.select(_COLUMNS).cast(schema)


def publish(
    connection: duckdb.DuckDBPyConnection,
    commits: Committer,
    decision_set: str,
    profile: str,
    settings_hash: str,
    audit: Audit | None = None,
) -> int:
    """Audit the set's rows and publish them; returns the version.

    If the latest version holds the same rows under the same rules, it is returned and no new one
    is made.  Whatever `audit` raises propagates, and nothing is published.
    """
    _check_set(connection, decision_set)
    standing = _standing(connection, commits, decision_set)
    if standing is not None:
        return standing
    if audit is not None:
        audit(candidate(connection, decision_set))
    told = json.dumps(funnel(connection, decision_set), sort_keys=True)

    def work(connection: duckdb.DuckDBPyConnection) -> int:
        version = _one(connection, "SELECT coalesce(max(version), 0) + 1 FROM dataset_versions")
        snapshot = _one(connection, "SELECT id FROM lake.current_snapshot()") + 1
        connection.execute(
            f"INSERT INTO published_rows BY NAME SELECT {version}::BIGINT AS version, * "
            f"FROM ({_CANDIDATE}) ORDER BY split, triple_id",
            {"set": decision_set},
        )
        doubles = _one(
            connection,
            "SELECT count(*) - count(DISTINCT triple_id) FROM published_rows WHERE version = ?",
            [version],
        )
        if doubles:
            raise WarehouseError(f"{doubles} triples are in the warehouse twice: nothing published")
        connection.execute(
            "INSERT INTO dataset_versions BY NAME SELECT $version::BIGINT AS version, "
            "$set AS decision_set_id, $snapshot::BIGINT AS snapshot_id, "
            '(SELECT count(*) FROM published_rows WHERE version = $version) AS "rows", '
            "'published' AS status, $profile AS profile, $hash AS settings_hash, "
            "$funnel AS funnel, now() AS published_at",
            {
                "version": version,
                "set": decision_set,
                "snapshot": snapshot,
                "profile": profile,
                "hash": settings_hash,
                "funnel": told,
            },
        )
        point_view(connection)
        return version

    return commits.transaction(work)


def point_view(connection: duckdb.DuckDBPyConnection) -> None:
    """Make `instructpe` the latest published version; in the transaction that changes which.

    The version is written into the view: asking `dataset_versions` for it at every query cost
    more than most queries, and only a constant lets other versions' files be skipped unread.
    """
    last = latest(connection)
    connection.execute(
        "CREATE OR REPLACE VIEW instructpe AS SELECT * FROM published_rows "
        f"WHERE version = {int(last[0]) if last else 0}"
    )


def funnel(
    connection: duckdb.DuckDBPyConnection, decision_set: str | None = None
) -> dict[str, Any]:
    """collected → proposed → rendered → accepted, with the reasons for each refusal.

    Counts of rows: `sightings` of lines, of which `refused_lines` by reason; `collected` raw
    prompts; `proposed` triples; `rendered`, those whose both prompts have a render (null without
    renders); `accepted`, and `refused` by reason.
    """
    _check_set(connection, decision_set)
    rules = _rules(connection, decision_set)
    reasons = dict(
        connection.execute(
            "SELECT reason, count(*) FROM decisions WHERE decision_set_id = ? "
            "GROUP BY reason ORDER BY count(*) DESC, reason",
            [decision_set],
        ).fetchall()
    )
    refused_lines = dict(
        connection.execute(
            "SELECT reason, count(*) FROM rejections GROUP BY reason ORDER BY 2 DESC, 1"
        ).fetchall()
    )
    rendered = None
    if rules.get("tis_id"):
        unscored = sum(
            count
            for reason, count in reasons.items()
            if reason in ("not_scored", "duplicate", "target_too_long") or ":" in reason
        )
        rendered = sum(reasons.values()) - unscored
    return {
        "sightings": _one(connection, "SELECT count(*) FROM occurrences")
        + sum(refused_lines.values()),
        "refused_lines": refused_lines,
        "collected": _one(connection, "SELECT count(*) FROM live_raw_prompts"),
        "proposed": sum(reasons.values()),
        "rendered": rendered,
        "accepted": reasons.pop("accepted", 0),
        "refused": reasons,
    }


def latest(connection: duckdb.DuckDBPyConnection) -> tuple[int, str] | None:
    """(version, decision set) of the latest published version."""
    return first_row(
        connection,  # pyright: ignore[reportReturnType]
        "SELECT version, decision_set_id FROM dataset_versions WHERE status = 'published' "
        "ORDER BY version DESC LIMIT 1",
    )


def _standing(
    connection: duckdb.DuckDBPyConnection, commits: Committer, decision_set: str
) -> int | None:
    """The latest version, if publishing the set would only repeat it."""
    last = latest(connection)
    if last is None or last[1] == decision_set:
        return last[0] if last else None
    if _rules(connection, last[1]) != _rules(connection, decision_set):
        return None
    columns = ", ".join(_COLUMNS)
    same = _one(
        connection,
        f"SELECT (SELECT (count(*), bit_xor(hash(({columns})))) FROM ({_CANDIDATE})) IS NOT "
        f"DISTINCT FROM (SELECT (count(*), bit_xor(hash(({columns})))) FROM published_rows "
        f"WHERE version = {last[0]})",
        {"set": decision_set},
    )
    if not same:
        return None
    # More was proposed and none of it accepted: the version stands, now under the later set.
    commits.transaction(
        lambda connection: connection.execute(
            "UPDATE dataset_versions SET decision_set_id = ? WHERE version = ?",
            [decision_set, last[0]],
        )
    )
    return last[0]


def _rules(connection: duckdb.DuckDBPyConnection, decision_set: str | None) -> dict[str, Any]:
    row = first_row(
        connection, "SELECT rules FROM decision_sets WHERE decision_set_id = ?", [decision_set]
    )
    return json.loads(row[0]) if row else {}


def _check_set(connection: duckdb.DuckDBPyConnection, decision_set: str | None) -> None:
    if not _rules(connection, decision_set):
        raise WarehouseError(f"There is no decision set {decision_set!r}: call decide first.")


def _one(connection: duckdb.DuckDBPyConnection, sql: str, params: Any = None) -> Any:
    row = first_row(connection, sql, params)
    return row[0] if row else None
