"""Appending: idempotent, typed, first row wins, over threads and processes."""

import math
import multiprocessing
import threading

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.errors import WarehouseError
from schemas.records import TABLES
from tests.warehouse import rows


def count(lake, name):
    return lake.query(f"SELECT count(*) AS n FROM {name}").column("n")[0].as_py()


def test_tables_of_migrations_are_those_of_the_records(lake):
    for name, (schema, _) in TABLES.items():
        answer = lake.query(f"FROM {name}").schema
        assert [(f.name, f.type) for f in answer] == [(f.name, _utc(f.type)) for f in schema], name


def _utc(kind):
    return pa.timestamp("us", tz="Etc/UTC") if pa.types.is_timestamp(kind) else kind


def test_same_rows_twice_are_added_once(lake):
    assert lake.append("raw_prompts", rows.prompts(["a", "b", "b"])) == 2
    assert lake.append("raw_prompts", rows.prompts(["b", "c"])) == 1
    assert count(lake, "raw_prompts") == 3


def test_first_success_of_a_render_wins(lake):
    first = {"render_id": "r", "attempt": 1, "status": "failed"}
    lake.append("renders", rows.table("renders", [first]))
    good = {"render_id": "r", "attempt": 2, "status": "ok", "image_sha256": "one"}
    lake.append("renders", rows.table("renders", [good]))
    late = {"render_id": "r", "attempt": 3, "status": "ok", "image_sha256": "two"}
    assert lake.append("renders", rows.table("renders", [late])) == 0


def test_missing_columns_are_null_and_unknown_ones_refused(lake):
    lake.append("recipes", pa.table({"recipe_id": ["x"]}))
    assert lake.query("FROM recipes").to_pylist()[0]["kind"] is None
    with pytest.raises(WarehouseError, match="no column colour"):
        lake.append("recipes", pa.table({"recipe_id": ["y"], "colour": ["red"]}))
    with pytest.raises(WarehouseError, match="no table 'paintings'"):
        lake.append("paintings", pa.table({"x": [1]}))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused_by_name(lake, value):
    row = {"score_id": "s", "attempt": 1, "value": value}
    with pytest.raises(WarehouseError, match=r"scores\.value holds NaN"):
        lake.append("scores", rows.table("scores", [row]))


def test_a_key_must_not_be_null(lake):
    with pytest.raises(WarehouseError, match=r"renders\.attempt identifies a row"):
        lake.append("renders", rows.table("renders", [{"render_id": "r"}]))


def test_several_tables_are_committed_together_or_not_at_all(lake):
    good, bad = rows.prompts(["a"]), pa.table({"recipe_id": pa.array([1.5])})
    bad = bad.append_column("nonsense", pa.array([1]))
    with pytest.raises(WarehouseError):
        lake.append_all({"raw_prompts": good, "recipes": bad})
    assert count(lake, "raw_prompts") == 0


def test_a_call_that_lost_the_race_brings_no_triples(lake):
    def derive(calls):
        found = [rows.triple(c["subject"], "i", "t", call_id=c["call_id"]) for c in calls]
        return {"triples": rows.triples(*found)}

    def read(calls):
        return derive(calls.to_pylist())

    calls = rows.table("teacher_calls", [rows.call("a")])
    assert lake.append_all({"teacher_calls": calls}, read) == {"teacher_calls": 1, "triples": 1}
    assert lake.append_all({"teacher_calls": calls}, read) == {"teacher_calls": 0}


def test_threads_append_at_once(lake):
    names = [f"prompt {i}" for i in range(40)]
    workers = [
        threading.Thread(target=lambda: lake.append("raw_prompts", rows.prompts(names)))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert count(lake, "raw_prompts") == 40


def _append_all(home, names, start):
    start.wait()
    with rows.open_lake(home) as lake:
        for name in names:
            lake.append("raw_prompts", rows.prompts([name, f"{name}!"]))


def test_two_processes_open_a_new_lake_and_append_the_same_rows(home):
    context = multiprocessing.get_context("spawn")
    start, names = context.Event(), [f"p{i}" for i in range(6)]
    workers = [context.Process(target=_append_all, args=(home, names, start)) for _ in range(2)]
    for worker in workers:
        worker.start()
    start.set()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    with rows.open_lake(home, read_only=True) as lake:
        assert count(lake, "raw_prompts") == 12
        once = "SELECT max(n) FROM (SELECT count(*) n FROM migrations GROUP BY number)"
        assert lake.query(once).column(0)[0].as_py() == 1


HOSTILE = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0")
) | st.sampled_from(
    ["'; DROP TABLE triples; --", "{{7*7}}", "$(rm -rf /)", "<script>", "\\'\"", "%s", "$1", "?"]
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(HOSTILE, min_size=1, max_size=20, unique=True))
def test_prompts_are_data(lake, texts):
    lake.append("raw_prompts", rows.prompts(texts))
    found = lake.query(
        "SELECT text FROM raw_prompts WHERE list_contains($1::VARCHAR[], text)", [texts]
    )
    assert set(found.column("text").to_pylist()) == set(texts)
    assert lake.query("SELECT text FROM raw_prompts WHERE text = ?", [texts[0]]).num_rows == 1
