"""A report is there whole or not at all, at whatever moment its writer dies."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks import evaluation_results
from tasks.evaluation_results import publish_report

TABLES = ("means", "against", "pairs", "by_kind", "alarms", "diversity", "turns")
CASES = pa.table({"case_id": ["c"], "value": [1.0]})


def summary(number: int) -> dict:
    return {name: [{"number": number}] for name in TABLES} | {"number": number}


def whole(folder: Path) -> int | None:
    """The number of the report that stands there complete; None where nothing stands."""
    if not folder.exists():
        return None
    number = json.loads((folder / "summary.json").read_text())["number"]
    assert (folder / "index.html").read_text() == f"page {number}"
    assert [pq.read_table(folder / f"{name}.parquet").to_pylist() for name in TABLES] == [
        [{"number": number}] for _ in TABLES
    ]
    assert pq.read_table(folder / "cases.parquet").num_rows == 1
    return number


def killed(folder: Path, number: int, step: int) -> bool:
    """Publish in a child that dies at the `step`-th thing it does to the disk; whether it did."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    left = step

    def deadly(act):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return act(*arguments, **options)

        return call

    for owner, names in (
        (Path, ("mkdir", "write_text", "rename", "symlink_to")),
        (os, ("unlink", "rmdir", "replace")),
        (pq, ("write_table",)),
    ):
        for name in names:
            setattr(owner, name, deadly(getattr(owner, name)))
    publish_report(folder, summary(number), f"page {number}", CASES)
    os._exit(0)


@pytest.mark.parametrize("before", [None, 1])
def test_a_writer_that_is_killed_at_any_step_leaves_no_half_report(tmp_path, before):
    folder = tmp_path / "reports" / "abc"
    seen = set()
    for step in range(100):
        shutil.rmtree(folder.parent, ignore_errors=True)
        if before is not None:
            publish_report(folder, summary(before), f"page {before}", CASES)
        died = killed(folder, 2, step)
        seen.add(whole(folder))
        publish_report(folder, summary(3), "page 3", CASES)
        assert whole(folder) == 3
        assert sorted(p.name for p in folder.parent.iterdir()) == ["abc", "latest"]
        assert (folder.parent / "latest").resolve() == folder
        if not died:
            break
    assert not died, "it was always killed"
    assert step > 10
    assert seen == {None, before, 2}


def test_a_full_disk_leaves_the_report_before(tmp_path, monkeypatch):
    folder = tmp_path / "reports" / "abc"
    publish_report(folder, summary(1), "page 1", CASES)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluation_results.pq, "write_table", full)
    with pytest.raises(OSError, match="No space"):
        publish_report(folder, summary(2), "page 2", CASES)
    assert whole(folder) == 1
    assert sorted(p.name for p in folder.parent.iterdir()) == ["abc", "latest"]
