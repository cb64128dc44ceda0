"""The audit: what it lets through, what it refuses and what a person then reads."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from schemas.expectations import drift_bound, share_bound
from schemas.identity import content_id, raw_prompt_id, split_of
from schemas.records import PUBLISHED_ROWS, TABLES
from schemas.settings import PublishSettings
from schemas.units import EditKind
from tasks.audit import audit_candidate, audit_increment

KINDS = [kind for kind in EditKind if kind is not EditKind.FOLLOW_UP]


def row(number: int, **changes):
    text = f"a red car number {number // 3}"
    root = raw_prompt_id(text)
    return {
        "version": None,
        "triple_id": content_id("triple", number),
        "raw_prompt_id": root,
        "parent_triple_id": None,
        "turn": 1,
        "split": split_of(root),
        "raw_prompt": text,
        "instruction": "make it blue",
        "edit_kind": str(KINDS[number % len(KINDS)]),
        "target_prompt": f"a blue car number {number}",
        "intent": "A blue car.",
        "units": [{"role": "add", "text": "blue car"}],
        "units_source": "teacher",
        "aesthetic_gain": 0.1,
        "preference_gain": 0.2,
        "source": "world",
        "licence": "Apache-2.0",
    } | changes


def table(rows) -> pa.Table:
    return pa.Table.from_pylist(rows, PUBLISHED_ROWS)


def candidate(count: int = 300, at: int = 7, **changes) -> pa.Table:
    return table([row(i, **(changes if i == at else {})) for i in range(count)])


def audit(rows: pa.Table, folder: Path, previous=None, **settings):
    return audit_candidate(rows, previous, PublishSettings(**settings), folder)


def test_a_sound_version_passes_and_leaves_its_report(tmp_path):
    result = audit(candidate(), tmp_path / "audit", previous=candidate(200))
    assert result.passed, result.failures
    assert result.failures == ()
    assert "All" in Path(result.report_path).read_text()
    assert json.loads((tmp_path / "audit" / "audit.json").read_text())["passed"] is True
    assert sorted(p.name for p in (tmp_path / "audit").iterdir()) == ["audit.html", "audit.json"]


OTHER_SPLIT = {"train": "test", "test": "train", "validation": "train"}[row(7)["split"]]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"instruction": None}, "Every row has"),
        ({"triple_id": row(8)["triple_id"]}, "triple_id is unique"),
        ({"triple_id": "short"}, "length of triple_id"),
        ({"target_prompt": row(7)["raw_prompt"]}, "differs from raw_prompt"),
        ({"target_prompt": ""}, "length of target_prompt"),
        ({"edit_kind": "explode"}, "edit_kind is one of"),
        ({"split": OTHER_SPLIT}, "in two splits"),
        ({"split": OTHER_SPLIT}, "hash of the root raw prompt"),
        ({"raw_prompt_id": content_id("raw_prompt", "x2")}, "by text, first turns"),
        ({"turn": 0}, "turn is"),
        ({"turn": 2}, "has a parent if and only if"),
        ({"aesthetic_gain": float("nan")}, "aesthetic_gain is a finite number"),
        ({"units": [{"role": "paint", "text": "blue"}]}, "Content units"),
    ],
)
def test_one_wrong_row_is_refused_and_shown(tmp_path, changes, said):
    if "raw_prompt_id" in changes:  # the same text under an id that hashes to another split
        other = next(
            root
            for root in (content_id("raw_prompt", i) for i in range(1000))
            if split_of(root) != row(7)["split"]
        )
        changes = {"raw_prompt_id": other, "split": split_of(other)}
    result = audit(candidate(**changes), tmp_path)
    assert not result.passed
    assert any(said in failure for failure in result.failures), result.failures
    document = json.loads((tmp_path / "audit.json").read_text())
    finding = next(f for f in document["expectations"] if said in f["says"])
    assert not finding["passed"]
    assert 0 < len(finding["offending"]) <= 10 or finding["observed"]


def test_the_offending_row_is_in_the_report(tmp_path):
    audit(candidate(instruction=None), tmp_path)
    document = json.loads((tmp_path / "audit.json").read_text())
    failed = [f for f in document["expectations"] if not f["passed"]]
    shown = {r["triple_id"] for f in failed for r in f["offending"] if "triple_id" in r}
    assert shown == {row(7)["triple_id"]}


def test_many_offending_rows_are_cut_to_ten(tmp_path):
    rows = [row(i, target_prompt=row(i)["raw_prompt"]) for i in range(300)]
    audit(table(rows), tmp_path)
    document = json.loads((tmp_path / "audit.json").read_text())
    assert max(len(f["offending"]) for f in document["expectations"]) == 10


def test_missing_and_mistyped_columns_are_named(tmp_path):
    rows = candidate().drop_columns(["intent"])
    rows = rows.set_column(4, "turn", rows["turn"].cast(pa.int64()))
    result = audit(rows, tmp_path)
    assert not result.passed
    offending = json.loads((tmp_path / "audit.json").read_text())["expectations"][0]["offending"]
    assert {(r["column"], r["wanted"], r["found"]) for r in offending} == {
        ("intent", "string", "missing"),
        ("turn", "int32", "int64"),
    }


def test_too_few_rows_and_none_at_all(tmp_path):
    assert not audit(candidate(5), tmp_path / "few", min_rows=10).passed
    result = audit(table([]), tmp_path / "none")
    assert not result.passed
    assert any("at least 1 rows" in failure for failure in result.failures)


def test_one_kind_may_not_crowd_out_the_others(tmp_path):
    rows = table([row(i, edit_kind="add" if i % 10 else "style") for i in range(1000)])
    result = audit(rows, tmp_path, max_kind_share=0.6)
    assert any("No kind of edit" in f and "max_kind_share" in f for f in result.failures)
    assert audit(rows, tmp_path, max_kind_share=0.95).passed


def test_drift_against_the_version_before(tmp_path):
    before = table([row(i, edit_kind=str(KINDS[i % 3])) for i in range(3000)])
    now = table([row(i, edit_kind=str(KINDS[3 + i % 3])) for i in range(3000)])
    result = audit(now, tmp_path, previous=before)
    assert any("moved by at most" in f and "max_drift" in f for f in result.failures)
    assert audit(now, tmp_path, previous=before, max_drift=1.0).passed


def test_a_first_small_version_is_not_refused_for_being_uneven(tmp_path):
    rows = table([row(i, edit_kind="add") for i in range(3)])
    result = audit(rows, tmp_path, previous=candidate(4))
    assert result.passed, result.failures
    assert share_bound(0.6, 1_000_000) < 0.602
    assert drift_bound(0.25, 10**6, 10**6, {"add": 0.5, "style": 0.5}) < 0.252


class Reader(HTMLParser):
    """Collects the tags of a page."""

    def __init__(self):
        super().__init__()
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)


def test_prompts_are_data_in_the_report(tmp_path):
    nasty = "</code><script>alert(1)</script><img src=x onerror=y>\x1b[31m {{ 7*7 }} " + "x" * 5000
    rows = candidate(raw_prompt=nasty, target_prompt=nasty, raw_prompt_id=raw_prompt_id(nasty))
    result = audit(rows, tmp_path)
    assert not result.passed
    page = Path(result.report_path).read_text()
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "img", "link", "iframe"}
    assert "\x1b" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "x" * 1000 not in page


def test_increments_of_every_table_are_judged_by_its_record(home):
    for name, (schema, _) in TABLES.items():
        result = audit_increment(name, schema.empty_table(), home)
        assert result.passed, (name, result.failures)
        assert Path(result.report_path).is_relative_to(home)


def test_an_increment_with_a_repeated_key_is_refused(home):
    rows = table([row(i, version=1) for i in (1, 2, 2)])
    result = audit_increment("published_rows", rows, home)
    assert any("version and triple_id together are unique" in f for f in result.failures)


def test_it_is_silent_and_writes_nothing_elsewhere(tmp_path):
    """In a process of its own, whose home folder and working directory stay empty."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from tests.tasks.test_audit import audit, candidate\n"
        "audit(candidate(split='nowhere'), Path(sys.argv[2]))\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "GX_"))}
    done = subprocess.run(
        [sys.executable, "-B", "-c", code, str(root), str(tmp_path / "report")],
        cwd=elsewhere,
        env=environment | {"HOME": str(elsewhere), "PREFECT_HOME": str(tmp_path / "prefect")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "")
    assert list(elsewhere.rglob("*")) == []
