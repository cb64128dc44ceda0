"""Purge, gc, maintain: what keeps a warehouse lawful and small.

*Purge* removes raw prompts or triples and all that comes of them (calls, follow-ups, renders,
scores, published rows, samples of trainings, cases with their answers and votes) in one commit,
retires the versions concerned, then rewrites the files and expires the snapshots that still held
the rows.  *gc* deletes images that no render names.
*maintain* merges small files, expires snapshots that no published version needs and deletes files
that no snapshot knows.  Runs do so by themselves where a table lies in many files (`scattered`).

Left out: other people's copies.  An exported folder is theirs to purge; the ids stay in `removals`
(a hash, no text), so that the same prompt is not collected again.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import duckdb

from schemas.errors import WarehouseError
from warehouse.commits import Committer
from warehouse.connection import first_row
from warehouse.images import ImageStore
from warehouse.publishing import point_view

GRACE_S = 3_600.0  # a reader or a render in flight is assumed to end within the hour
MANY_MISSING = 10  # so many lost images are believed of a small store, too
# A commit is a file, and every look-up reads the footers of all: 0.5 s each at 9,600 files of 32
# rows (a study of 45 trainings), 0.035 s after merging them.
MANY_FILES = 500

# What a purge removes: everything under a removed root, and the turns after a removed triple.
_DOOMED = """
CREATE OR REPLACE TEMP TABLE doomed AS
WITH RECURSIVE gone(triple_id) AS (
    SELECT triple_id FROM triples
    WHERE list_contains($ids::VARCHAR[], triple_id)
        OR list_contains($ids::VARCHAR[], raw_prompt_id)
    UNION
    SELECT t.triple_id FROM triples AS t JOIN gone ON t.parent_triple_id = gone.triple_id
)
SELECT triple_id FROM gone
"""
_ORPHANED_RENDERS = """
CREATE OR REPLACE TEMP TABLE doomed_renders AS
SELECT render_id, image_sha256 FROM renders
WHERE prompt IN (
    SELECT raw_prompt FROM triples JOIN doomed USING (triple_id)
    UNION
    SELECT target_prompt FROM triples JOIN doomed USING (triple_id)
    UNION
    SELECT prompt FROM evaluation_outputs WHERE case_id IN (FROM doomed_cases)
    UNION
    SELECT prompt FROM training_samples JOIN doomed USING (triple_id)
) AND prompt NOT IN (
    SELECT raw_prompt FROM triples ANTI JOIN doomed USING (triple_id)
    UNION
    SELECT target_prompt FROM triples ANTI JOIN doomed USING (triple_id)
    UNION
    SELECT prompt FROM evaluation_outputs
    WHERE prompt IS NOT NULL AND case_id NOT IN (FROM doomed_cases)
    UNION
    SELECT prompt FROM training_samples ANTI JOIN doomed USING (triple_id)
    WHERE prompt IS NOT NULL
)
"""
# A case quotes its triple, and what methods answered quotes the case.  A conversation also borrows
# instructions of other prompts: where one is of removed triples alone, the conversation goes.
_DOOMED_CASES = """
CREATE OR REPLACE TEMP TABLE doomed_cases AS
WITH conversations AS (
    SELECT case_set_id, cluster_id FROM evaluation_cases
    WHERE form = 'conversation'
        AND instruction IN (SELECT instruction FROM triples JOIN doomed USING (triple_id))
        AND instruction NOT IN (SELECT instruction FROM triples ANTI JOIN doomed USING (triple_id))
)
SELECT DISTINCT case_id FROM evaluation_cases
WHERE triple_id IN (SELECT triple_id FROM doomed)
    OR list_contains($ids::VARCHAR[], cluster_id)
    OR (form = 'conversation' AND (case_set_id, cluster_id) IN (FROM conversations))
"""
_ROOTED = ("raw_prompts", "occurrences", "teacher_calls")
_BY_TRIPLE = ("triples", "decisions", "published_rows", "training_samples")


def purge(
    connection: duckdb.DuckDBPyConnection,
    commits: Committer,
    images: ImageStore,
    ids: Sequence[str],
    reason: str,
) -> list[int]:
    """Remove raw prompts or triples for good; returns the versions that are retired by it.

    Raises WarehouseError, before anything is changed, for an id that is neither.
    """
    wanted = list(dict.fromkeys(ids))

    def work(connection: duckdb.DuckDBPyConnection) -> tuple[list[int], list[str]]:
        _check_ids(connection, wanted)
        connection.execute(_DOOMED, {"ids": wanted})
        connection.execute(_DOOMED_CASES, {"ids": wanted})
        connection.execute(_ORPHANED_RENDERS)
        retired = connection.execute(
            "SELECT DISTINCT version FROM published_rows JOIN doomed USING (triple_id) "
            "JOIN dataset_versions USING (version) WHERE status = 'published' ORDER BY 1"
        ).fetchall()
        pictures = connection.execute(
            "SELECT DISTINCT image_sha256 FROM doomed_renders WHERE image_sha256 IS NOT NULL "
            "AND image_sha256 NOT IN (SELECT image_sha256 FROM renders "
            "ANTI JOIN doomed_renders USING (render_id) WHERE image_sha256 IS NOT NULL)"
        ).fetchall()
        _delete(connection, wanted, reason)
        for (version,) in retired:
            connection.execute(
                "UPDATE dataset_versions SET status = 'retired' WHERE version = ?", [version]
            )
        point_view(connection)
        return [version for (version,) in retired], [sha for (sha,) in pictures]

    retired, pictures = commits.transaction(work)
    images.delete(pictures)
    for table in ("doomed", "doomed_cases", "doomed_renders"):
        connection.execute(f"DROP TABLE IF EXISTS temp.{table}")
    connection.execute("CALL ducklake_rewrite_data_files('lake', delete_threshold => 0)")
    commits.transaction(_bind_to_now)
    _expire(connection, needed=set(), grace_s=0.0)
    _delete_files(connection, grace_s=0.0)
    return retired


def _bind_to_now(connection: duckdb.DuckDBPyConnection) -> None:
    """Every earlier snapshot holds removed rows and is about to go: bind the versions to this."""
    row = first_row(connection, "SELECT id + 1 FROM lake.current_snapshot()") or (0,)
    connection.execute("UPDATE dataset_versions SET snapshot_id = ?", [row[0]])


def _check_ids(connection: duckdb.DuckDBPyConnection, ids: list[str]) -> None:
    known = connection.execute(
        "SELECT raw_prompt_id FROM raw_prompts WHERE list_contains($1::VARCHAR[], raw_prompt_id) "
        "UNION SELECT triple_id FROM triples WHERE list_contains($1::VARCHAR[], triple_id) "
        "UNION SELECT removed_id FROM removals WHERE list_contains($1::VARCHAR[], removed_id)",
        [ids],
    ).fetchall()
    unknown = sorted(set(ids) - {row[0] for row in known})
    if unknown:
        raise WarehouseError(
            f"No raw prompt or triple has the id {', '.join(unknown[:5])}: nothing was removed. "
            'Find ids with `diffchat sql "SELECT raw_prompt_id FROM raw_prompts WHERE …"`.'
        )


def _delete(connection: duckdb.DuckDBPyConnection, ids: list[str], reason: str) -> None:
    connection.execute(
        "INSERT INTO removals SELECT id, ?, now() FROM (SELECT unnest(?::VARCHAR[]) AS id) "
        "ANTI JOIN removals ON id = removed_id",
        [reason, ids],
    )
    # The answer of a call that taught a removed triple holds its text, its siblings stay: the
    # row is kept, so that it is not paid for again, without the words.
    connection.execute(
        "UPDATE teacher_calls SET answer = NULL WHERE call_id IN ("
        "SELECT call_id FROM triples JOIN doomed USING (triple_id)) AND answer IS NOT NULL"
    )
    # A call about a removed turn quotes it.
    connection.execute(
        "DELETE FROM teacher_calls WHERE (raw_prompt_id, subject) IN ("
        "SELECT raw_prompt_id, target_prompt FROM triples JOIN doomed USING (triple_id))"
    )
    connection.execute(
        "DELETE FROM scores WHERE render_id IN (SELECT render_id FROM doomed_renders)"
    )
    connection.execute(
        "DELETE FROM scores WHERE intent IN ("
        "SELECT intent FROM triples JOIN doomed USING (triple_id)) AND intent NOT IN ("
        "SELECT intent FROM triples ANTI JOIN doomed USING (triple_id) WHERE intent IS NOT NULL)"
    )
    connection.execute(
        "DELETE FROM renders WHERE render_id IN (SELECT render_id FROM doomed_renders)"
    )
    for table in ("votes", "evaluation_outputs", "evaluation_cases"):
        connection.execute(f"DELETE FROM {table} WHERE case_id IN (FROM doomed_cases)")
    for table in _BY_TRIPLE:
        connection.execute(f"DELETE FROM {table} WHERE triple_id IN (SELECT triple_id FROM doomed)")
    for table in _ROOTED:
        connection.execute(
            f"DELETE FROM {table} WHERE list_contains($1::VARCHAR[], raw_prompt_id)", [ids]
        )


def gc(
    connection: duckdb.DuckDBPyConnection,
    commits: Committer,
    images: ImageStore,
    grace_s: float = GRACE_S,
) -> int:
    """Delete images that no render names; returns how many.

    Younger ones than `grace_s` seconds are kept: their render may be about to be committed.  The
    other way round, renders whose image is gone are forgotten, so that they are made again;
    raises WarehouseError if that were more than half of them, for then the store is not there.
    """
    known = dict(images.known())
    named = {
        row[0]
        for row in connection.execute(
            "SELECT DISTINCT image_sha256 FROM renders WHERE image_sha256 IS NOT NULL"
        ).fetchall()
    }
    missing = sorted(named - set(known))
    if len(missing) > max(MANY_MISSING, len(named) // 2):
        raise WarehouseError(
            f"{len(missing)} of {len(named)} images are not in {images.root}: is it mounted? "
            "Nothing was changed."
        )
    if missing:
        commits.transaction(
            lambda connection: connection.execute(
                "DELETE FROM renders WHERE list_contains($1::VARCHAR[], image_sha256)", [missing]
            )
        )
    return images.delete(sha for sha, age in known.items() if sha not in named and age >= grace_s)


def maintain(connection: duckdb.DuckDBPyConnection, grace_s: float = GRACE_S) -> dict[str, int]:
    """Merge small files, expire snapshots no published version needs, delete unknown files.

    Returns counts: merged, snapshots_expired, files_deleted.
    """
    needed = {
        row[0]
        for row in connection.execute(
            "SELECT snapshot_id FROM dataset_versions WHERE status = 'published'"
        ).fetchall()
    }
    expired = _expire(connection, needed, grace_s)
    merged = connection.execute("CALL ducklake_merge_adjacent_files('lake')").fetchall()
    return {
        "merged": len(merged),
        "snapshots_expired": expired,
        "files_deleted": _delete_files(connection, grace_s),
    }


def scattered(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether some table lies in so many files that maintaining it pays at once."""
    most = first_row(connection, "SELECT max(file_count) FROM ducklake_table_info('lake')")
    return bool(most and most[0] and most[0] > MANY_FILES)


def _expire(connection: duckdb.DuckDBPyConnection, needed: set[int], grace_s: float) -> int:
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    current = first_row(connection, "SELECT id FROM lake.current_snapshot()") or (0,)
    rows = connection.execute(
        "SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time <= ?", [before]
    ).fetchall()
    old = sorted({row[0] for row in rows} - needed - {current[0]})
    if old:
        listed = ", ".join(map(str, old))
        connection.execute(f"CALL ducklake_expire_snapshots('lake', versions => [{listed}])")
    return len(old)


def _delete_files(connection: duckdb.DuckDBPyConnection, grace_s: float) -> int:
    before = datetime.now(UTC) - timedelta(seconds=grace_s)
    count = 0
    for call in ("ducklake_cleanup_old_files", "ducklake_delete_orphaned_files"):
        when = "cleanup_all => true" if grace_s == 0 else f"older_than => '{before.isoformat()}'"
        count += len(connection.execute(f"CALL {call}('lake', {when})").fetchall())
    return count
