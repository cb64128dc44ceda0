"""Questions in SQL: they read, and can do nothing else."""

import duckdb
import pytest

from schemas.errors import WarehouseError
from tests.warehouse import rows

WRITES = [
    "DELETE FROM triples",
    "DROP TABLE triples",
    "CREATE TABLE x(i INTEGER)",
    "INSERT INTO removals VALUES ('x', 'y', now())",
    "COPY triples TO '{folder}/evil.csv'",
    "EXPLAIN ANALYZE COPY triples TO '{folder}/evil.csv'",
    "SELECT 1; DROP TABLE triples",
    "ATTACH '{folder}/evil.db'",
    "SET memory_limit = '1GB'",
    "CALL ducklake_expire_snapshots('lake', older_than => now())",
    "FROM ducklake_cleanup_old_files('lake', cleanup_all => true)",
    "SELECT * FROM (FROM lake.set_option('x', 'y'))",
    "FROM query('FROM ducklake_cleanup_old_files(''lake'', cleanup_all => true)')",
    "WITH a AS (FROM ducklake_delete_orphaned_files('lake')) FROM a",
    "LOAD httpfs",
    "PRAGMA database_list",
    "EXPORT DATABASE '{folder}/evil'",
]
FILES = ["FROM read_text('/etc/hostname')", "FROM '/etc/passwd'", "FROM glob('/*')"]
READS = [
    "FROM instructpe LIMIT 1",
    "SELECT edit_kind, count(*) FROM instructpe GROUP BY ALL",
    "SHOW TABLES",
    "DESCRIBE triples",
    "SUMMARIZE triples",
    "EXPLAIN SELECT 1",
    "EXPLAIN ANALYZE SELECT count(*) FROM triples",
    "VALUES (1)",
    "FROM triples AT (VERSION => 1)",
    "FROM lake.snapshots()",
]


@pytest.fixture
def reader(home, lake):
    rows.published(lake)
    lake.close()
    with rows.open_lake(home, read_only=True) as lake:
        yield lake


@pytest.mark.parametrize("read_only", [True, False])
def test_only_questions_are_answered(home, lake, tmp_path, read_only):
    rows.published(lake)
    lake.close()
    with rows.open_lake(home, read_only=read_only) as lake:
        for sql in READS:
            lake.query(sql)
        for sql in WRITES:
            with pytest.raises(WarehouseError):
                lake.query(sql.format(folder=tmp_path))
        assert lake.query("FROM triples").num_rows == 3
    assert not list(tmp_path.glob("evil*"))


def test_a_reader_sees_no_files_but_the_lakes(reader):
    for sql in FILES:
        with pytest.raises(WarehouseError):
            reader.query(sql)
    with pytest.raises(WarehouseError, match="reading only"):
        reader.append("raw_prompts", rows.prompts(["a"]))


def test_errors_say_what_is_wrong(reader):
    with pytest.raises(WarehouseError, match="Table with name nothing does not exist"):
        reader.query("FROM nothing")
    with pytest.raises(WarehouseError, match="syntax error"):
        reader.query("SELEC 1")


def test_a_plain_duckdb_session_can_attach(home, lake):
    rows.published(lake)
    lake.close()
    from warehouse.connection import extension_file

    with duckdb.connect(config={"allow_unsigned_extensions": "true"}) as plain:
        for name in ("ducklake", "sqlite_scanner"):
            plain.execute(f"LOAD '{extension_file(name)}'")
        catalog = home / "warehouse" / "catalog.sqlite"
        data = home / "warehouse" / "data"
        plain.execute(
            f"ATTACH 'ducklake:sqlite:{catalog}' AS lake "
            f"(READ_ONLY, DATA_PATH '{data}/', OVERRIDE_DATA_PATH true)"
        )
        assert plain.execute("SELECT count(*) FROM lake.instructpe").fetchall() == [(3,)]
