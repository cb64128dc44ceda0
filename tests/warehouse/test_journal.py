"""The journal: nothing that was appended is lost, whatever is killed."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from schemas.errors import WarehouseError
from tests.warehouse import rows

CALLS = "SELECT subject, called_at FROM teacher_calls ORDER BY subject"

WRITER = """
import sys
from pathlib import Path
from tests.warehouse import rows
lake = rows.open_lake(Path(sys.argv[1]))
journal = lake.journal("teacher_calls")
print("ready", flush=True)
for i in range(100_000):
    journal.append(rows.call(f"prompt {i}"))
    print(i, flush=True)
    if i % 50 == 49:
        journal.ingest()
"""


def subjects(lake):
    return lake.query(CALLS).column("subject").to_pylist()


def test_rows_are_committed_by_ingest_with_their_types(lake):
    journal = lake.journal("teacher_calls")
    journal.append(rows.call("a"))
    assert (journal.pending, subjects(lake)) == (1, [])
    assert journal.ingest() == {"teacher_calls": 1}
    assert lake.query(CALLS).column("called_at").to_pylist() == [rows.NOW]
    assert journal.ingest() == {"teacher_calls": 0}
    journal.append(rows.call("a"))
    journal.append(rows.call("b"))
    assert journal.ingest() == {"teacher_calls": 1}


def test_triples_are_committed_with_their_call(lake):
    journal = lake.journal("teacher_calls")
    journal.append(rows.call("a"))
    added = journal.ingest(lambda calls: {"triples": rows.triples(rows.triple("a", "i", "b"))})
    assert added == {"teacher_calls": 1, "triples": 1}


def test_what_was_not_ingested_is_at_the_next_open(home, lake):
    lake.journal("teacher_calls").append(rows.call("a"))
    lake.close()
    with rows.open_lake(home) as lake:
        assert subjects(lake) == ["a"]
    assert not list((home / "warehouse" / "journal").glob("*.jsonl"))


def test_a_torn_last_line_is_dropped_and_the_rest_kept(home, lake):
    lake.journal("teacher_calls").append(rows.call("a"))
    lake.close()
    segment = next((home / "warehouse" / "journal").glob("*.jsonl"))
    with segment.open("ab") as file:
        file.write(b'{"attempt_id": "x", "call')
    with rows.open_lake(home) as lake:
        assert subjects(lake) == ["a"]


def test_a_line_changed_by_hand_is_named(home, lake):
    lake.close()
    folder = home / "warehouse" / "journal"
    folder.mkdir()
    (folder / "teacher_calls.1.abc.jsonl").write_text("{}}\n")
    with pytest.raises(WarehouseError, match=r"teacher_calls\.1\.abc\.jsonl, line 1, is not JSON"):
        rows.open_lake(home)


def test_a_segment_in_use_is_left_to_its_owner(home, lake):
    journal = lake.journal("teacher_calls")
    journal.append(rows.call("a"))
    with rows.open_lake(home) as other:
        assert subjects(other) == []
    assert journal.ingest() == {"teacher_calls": 1}


def test_a_full_disk_keeps_every_earlier_line(home, lake, monkeypatch):
    journal = lake.journal("teacher_calls")
    journal.append(rows.call("a"))
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, line: write(handle, line[: len(line) // 2]))
    with pytest.raises(WarehouseError, match="is full"):
        journal.append(rows.call("b"))
    monkeypatch.undo()
    journal.append(rows.call("c"))
    journal.ingest()
    assert subjects(lake) == ["a", "c"]


@pytest.mark.parametrize("round_", range(2))
def test_kill_9_loses_nothing_that_was_appended(home, lake, round_):
    lake.close()
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "ready\n"
    time.sleep(random.Random(round_).uniform(0.05, 0.6))
    writer.send_signal(signal.SIGKILL)
    told = writer.stdout.read().splitlines()
    writer.wait()
    with rows.open_lake(home) as lake:
        found = subjects(lake)
        again = lake.query("SELECT count(*) - count(DISTINCT attempt_id) FROM teacher_calls")
        assert again.column(0)[0].as_py() == 0
    assert {f"prompt {i}" for i in told[:-1]} <= set(found)
    known = set(data_files_of(home))
    assert set((home / "warehouse" / "data").rglob("*.parquet")) == known


def data_files_of(home):
    """Data files that the lake's latest snapshot knows."""
    with rows.open_lake(home, read_only=True) as lake:
        tables = lake.query("SELECT DISTINCT table_name FROM duckdb_tables()").column(0).to_pylist()
        for table in tables:
            listed = lake._connection.execute(
                f"SELECT data_file FROM ducklake_list_files('lake', '{table}')"
            ).fetchall()
            for (file,) in listed:
                yield home.__class__(file)
