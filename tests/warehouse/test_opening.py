"""Opening: what is wrong with a home is said at once, and nothing is lost."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from schemas.errors import SettingsError, WarehouseError
from tests.warehouse import rows
from warehouse import migrations


def test_there_must_be_a_lake_to_read(home):
    with pytest.raises(WarehouseError, match=r"no warehouse at .*: run `diffchat build` first"):
        rows.open_lake(home, read_only=True)
    assert list(home.iterdir()) == []


def test_a_lake_of_a_newer_version_is_refused(home, lake):
    lake.commits.transaction(
        lambda connection: connection.execute("INSERT INTO migrations VALUES (999, 'x', now())")
    )
    lake.close()
    for read_only in (True, False):
        with pytest.raises(WarehouseError, match=r"newer DiffChat .its migration 999"):
            rows.open_lake(home, read_only=read_only)


def test_new_views_reach_an_old_lake_when_it_is_opened_for_writing(home, lake, monkeypatch):
    rows.published(lake)
    lake.close()
    monkeypatch.setattr(migrations, "views_hash", lambda: "another")
    with pytest.raises(WarehouseError, match="older DiffChat"):
        rows.open_lake(home, read_only=True)
    rows.open_lake(home).close()
    with rows.open_lake(home, read_only=True) as lake:
        assert lake.query("FROM instructpe").num_rows == 3


def test_a_home_that_cannot_be_written_is_named():
    with pytest.raises(WarehouseError, match="cannot be written"):
        rows.open_lake(Path("/proc/diffchat"))


def test_a_catalog_of_another_kind_is_refused(home):
    with pytest.raises(SettingsError, match=r"warehouse\.catalog = 'host/db'"):
        rows.open_lake(home, catalog="mysql://me:secret@host/db")


def _read_as_nobody(home):
    os.setgid(65534)
    os.setuid(65534)
    with rows.open_lake(home, read_only=True) as lake:
        os._exit(0 if lake.query("FROM instructpe").num_rows == 3 else 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_lake_in_a_folder_of_others_can_be_read(home, lake):
    rows.published(lake)
    lake.close()
    for folder in (*home.parents, home, *home.rglob("*")):
        if "pytest" in str(folder):
            folder.chmod(0o755 if folder.is_dir() else 0o644)
    reader = multiprocessing.get_context("fork").Process(target=_read_as_nobody, args=(home,))
    reader.start()
    reader.join()
    assert reader.exitcode == 0


def test_a_moved_home_keeps_its_rows(home, lake, tmp_path):
    rows.published(lake)
    lake.close()
    home.rename(tmp_path / "elsewhere")
    with rows.open_lake(tmp_path / "elsewhere", read_only=True) as lake:
        assert lake.query("FROM instructpe").num_rows == 3


def test_a_full_disk_commits_nothing_and_says_so(lake, monkeypatch):
    rows.published(lake)

    def full(work):
        raise duckdb.IOException("Could not write file: No space left on device")

    monkeypatch.setattr(lake.commits, "_once", full)
    with pytest.raises(WarehouseError, match="is full: nothing of this commit was kept"):
        rows.collect(lake, ["new"])
    monkeypatch.undo()
    assert lake.query("FROM raw_prompts").num_rows == 3
    rows.collect(lake, ["new"])


def test_a_really_full_disk(tmp_path, empty_home):
    """The same on a file system of 3 MB, where one can be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with rows.open_lake(disk) as lake:
            rows.published(lake)
            noise = random.Random(0)
            big = [
                f"{i} " + "".join(chr(noise.randrange(33, 1000)) for _ in range(20_000))
                for i in range(150)
            ]
            with pytest.raises(WarehouseError, match="full"):
                lake.append("raw_prompts", rows.prompts(big))
            assert lake.query("FROM raw_prompts").num_rows == 3
            lake.append("raw_prompts", rows.prompts(["small"]))
            assert lake.query("FROM raw_prompts").num_rows == 4
    finally:
        subprocess.run(["umount", str(disk)], check=True)


APPEND = """
import sys
from pathlib import Path
from tests.warehouse import rows
lake = rows.open_lake(Path(sys.argv[1]))
print("ready", flush=True)
for i in range(10_000):
    lake.append("raw_prompts", rows.prompts([f"prompt {i}"]))
    print(i, flush=True)
"""


@pytest.mark.parametrize("wait", [0.1, 0.35])
def test_kill_9_in_a_commit_leaves_whole_rows_and_no_orphans(home, lake, wait):
    from tests.warehouse.test_journal import data_files_of

    lake.close()
    writer = subprocess.Popen(
        [sys.executable, "-c", APPEND, str(home)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout.readline() == "ready\n"
    time.sleep(wait)
    writer.send_signal(signal.SIGKILL)
    told = writer.stdout.read().splitlines()
    writer.wait()
    with rows.open_lake(home) as lake:
        found = lake.query("SELECT text FROM raw_prompts").column(0).to_pylist()
        assert len(found) == len(set(found)) in (len(told), len(told) + 1)
        rows.collect(lake, ["after"])
    assert set((home / "warehouse" / "data").rglob("*.parquet")) == set(data_files_of(home))
