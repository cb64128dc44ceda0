"""Purge, gc and maintain."""

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from schemas import identity
from schemas.errors import WarehouseError
from schemas.settings import DecideSettings
from tests.warehouse import rows
from warehouse import upkeep

RULES = DecideSettings()


def texts_on_disk(home):
    """Every string in every data file, however deep."""
    for file in (home / "warehouse" / "data").rglob("*.parquet"):
        yield from (repr(row) for row in pq.ParquetFile(file).read().to_pylist())


def stocked(lake):
    """Two versions: a secret prompt with a follow-up, and a harmless one; pictures of all."""
    secret = rows.triple("my secret", "hide it", "secret hat")
    later = rows.triple(
        "secret hat", "more", "secret hats", root="my secret", turn=2
    ) | {"parent_triple_id": secret["triple_id"]}  # fmt: skip
    rows.collect(lake, ["a cat", "my secret"])
    calls = [rows.call("a cat"), rows.call("my secret"), rows.call("secret hat")]
    calls[2]["raw_prompt_id"] = identity.raw_prompt_id("my secret")
    lake.append("teacher_calls", rows.table("teacher_calls", calls))
    lake.append("triples", rows.triples(rows.triple("a cat", "i", "a hat")))
    assert lake.publish(lake.decide(RULES)) == 1
    lake.append("triples", rows.triples(secret, later))
    assert lake.publish(lake.decide(RULES)) == 2
    rows.render_all(lake, pictures=True)
    rows.score_all(lake, lambda prompt, scorer: 1.0)
    return secret


def test_a_purged_prompt_is_gone_from_every_file(home, lake):
    stocked(lake)
    pictures = len(list(lake.images.known()))
    assert lake.purge([identity.raw_prompt_id("my secret")], "asked to") == [2]
    assert not [text for text in texts_on_disk(home) if "secret" in text]
    assert len(list(lake.images.known())) == pictures - 6
    assert lake.query("SELECT DISTINCT version FROM instructpe").to_pylist() == [{"version": 1}]
    assert lake.query("FROM instructpe", version=1).num_rows == 1
    with pytest.raises(WarehouseError, match="version 2 was retired"):
        lake.query("FROM instructpe", version=2)
    assert lake.query("FROM renders").num_rows == 4
    assert lake.publish(lake.decide(RULES)) in (1, 3)


def case(case_id, instruction="i", **more):
    row = {"case_set_id": "set", "case_id": case_id, "form": "single", "raw_prompt": "a cat",
           "instruction": instruction, "cluster_id": identity.raw_prompt_id("a cat")}  # fmt: skip
    return row | more


def evaluated(lake, secret):
    """Cases of both prompts, their answers, votes and pictures, and a training's samples."""
    root = {"cluster_id": identity.raw_prompt_id("my secret"), "raw_prompt": "my secret"}
    talk = {"form": "conversation", "cluster_id": identity.raw_prompt_id("a dog")}
    cases = [
        case("kept"),
        case("of the version", triple_id=secret["triple_id"], **root),
        case("of a file", **root),
        case("harmless talk", **talk | {"cluster_id": "another"}),
        case("talk", **talk),
        case("talk that borrows", "hide it", parent_case_id="talk", turn=2, **talk),
    ]
    lake.append("evaluation_cases", rows.table("evaluation_cases", cases))
    ids = [row["case_id"] for row in cases]
    answers = [
        {"output_id": i, "method_id": "m", "case_id": i, "attempt": 1, "status": "ok",
         "prompt": "a cat, kept" if i in ("kept", "harmless talk") else f"a secret answer {i}"}
        for i in ids
    ]  # fmt: skip
    lake.append("evaluation_outputs", rows.table("evaluation_outputs", answers))
    votes = [{"vote_id": i, "voter": "ann", "pair_id": i, "case_id": i, "choice": "tie"}
             for i in ids]  # fmt: skip
    lake.append("votes", rows.table("votes", votes))
    sample = {"model_id": "m", "step": 1, "row_kind": "on_policy"}
    samples = [
        sample | {"sample": 0, "triple_id": secret["triple_id"], "prompt": "a secret sample"},
        sample | {"sample": 1, "triple_id": "another", "prompt": "a harmless sample"},
    ]
    lake.append("training_samples", rows.table("training_samples", samples))
    prompts = {row["prompt"] for row in answers + samples}
    renders = [{"render_id": p, "prompt": p, "tis_id": "t", "seed": 0, "attempt": 1,
                "status": "ok"}
               for p in prompts]  # fmt: skip
    lake.append("renders", rows.table("renders", renders))


def test_a_purge_takes_cases_answers_votes_and_samples_that_quote_the_prompt(home, lake):
    evaluated(lake, stocked(lake))
    lake.purge([identity.raw_prompt_id("my secret")], "asked to")
    assert not [text for text in texts_on_disk(home) if "secret" in text]
    for table in ("evaluation_cases", "evaluation_outputs", "votes"):
        left = lake.query(f"SELECT case_id FROM {table} ORDER BY 1").column(0).to_pylist()
        assert left == ["harmless talk", "kept"], table
    samples = lake.query("SELECT prompt FROM training_samples").column(0).to_pylist()
    assert samples == ["a harmless sample"]
    rendered = lake.query("SELECT prompt FROM renders WHERE tis_id = 't' ORDER BY 1")
    assert rendered.column(0).to_pylist() == ["a cat, kept", "a harmless sample"]


def test_a_purged_prompt_does_not_come_back(lake):
    stocked(lake)
    lake.purge([identity.raw_prompt_id("my secret")], "asked to")
    assert lake.append("raw_prompts", rows.prompts(["my secret", "new"])) == 1
    assert lake.append("triples", rows.triples(rows.triple("my secret", "x", "y"))) == 0


def test_a_purged_triple_takes_its_follow_ups_and_leaves_its_prompt(lake):
    secret = stocked(lake)
    assert lake.purge([secret["triple_id"]], "wrong") == [2]
    assert lake.query("SELECT raw_prompt FROM triples").column(0).to_pylist() == ["a cat"]
    assert lake.query("FROM raw_prompts").num_rows == 2
    answers = lake.query("SELECT subject FROM teacher_calls WHERE answer IS NOT NULL")
    assert "secret hat" not in answers.column(0).to_pylist()


def test_an_unknown_id_removes_nothing(lake):
    stocked(lake)
    with pytest.raises(WarehouseError, match="has the id nonsense: nothing was removed"):
        lake.purge([identity.raw_prompt_id("my secret"), "nonsense"], "oops")
    assert lake.query("FROM triples").num_rows == 3


def test_gc_deletes_pictures_that_no_render_names(lake):
    rows.collect(lake, ["a"])
    lake.append("triples", rows.triples(rows.triple("a", "i", "b")))
    rows.render_all(lake, pictures=True)
    kept = {sha for sha, _ in lake.images.known()}
    lake.images.put(rows.png("nobody's"))
    assert lake.gc() == 0  # it may be about to be committed
    assert lake.gc(grace_s=0) == 1
    assert {sha for sha, _ in lake.images.known()} == kept


def test_a_lost_picture_is_rendered_again_after_gc(lake):
    lake.append("triples", rows.triples(rows.triple("a", "i", "b")))
    rows.render_all(lake, pictures=True)
    lost, _ = next(lake.images.known())
    Path(lake.images.path(lost)).unlink()
    lake.gc()
    assert lake.count_todo("render", tis_id=rows.TIS, seeds=rows.SEEDS) == 1
    rows.render_all(lake, pictures=True)
    assert lake.images.get(lost)


def test_gc_forgets_nothing_when_the_store_is_not_there(lake):
    names = [f"prompt {i}" for i in range(10)]
    lake.append("triples", rows.triples(*(rows.triple(n, "i", f"{n}!") for n in names)))
    rows.render_all(lake)  # 40 renders, no picture
    lake.append("renders", rows.table("renders", [_render(str(i)) for i in range(12)]))
    with pytest.raises(WarehouseError, match="is it mounted"):
        lake.gc()
    assert lake.query("FROM renders").num_rows == 52


def _render(name):
    return {"render_id": name, "attempt": 1, "status": "ok", "image_sha256": name}


def test_maintain_merges_files_and_keeps_versions_readable(home, lake):
    rows.published(lake)
    for i in range(6):
        lake.append("triples", rows.triples(rows.triple(f"bird {i}", "i", f"red bird {i}")))
    assert lake.publish(lake.decide(RULES)) == 2
    folder = home / "warehouse" / "data" / "main" / "triples"
    before = len(list(folder.glob("*.parquet")))
    report = lake.maintain(grace_s=0)
    assert report["snapshots_expired"] > 5
    assert len(list(folder.glob("*.parquet"))) < before
    assert [lake.query("FROM instructpe", version=v).num_rows for v in (1, 2)] == [3, 9]
    assert lake.query("FROM triples", version=1).num_rows == 3
    assert not lake.decision_pending(RULES)


def test_maintain_deletes_files_that_no_snapshot_knows(home, lake):
    rows.published(lake)
    known = next((home / "warehouse" / "data").rglob("*.parquet"))
    orphan = Path(known.parent / "orphan.parquet")
    orphan.write_bytes(known.read_bytes())
    lake.maintain(grace_s=0)
    assert not orphan.exists()


def many_commits(lake, count: int) -> None:
    for i in range(count):
        lake.append("triples", rows.triples(rows.triple(f"bird {i}", "i", f"red bird {i}")))


def files_of(lake, table: str) -> int:
    counts = lake._connection.execute(
        "SELECT table_name, file_count FROM ducklake_table_info('lake')"
    )
    return dict(counts.fetchall())[table]


def test_a_warehouse_of_many_small_commits_is_tidied(lake, monkeypatch):
    rows.published(lake)
    monkeypatch.setattr(upkeep, "MANY_FILES", 5)
    many_commits(lake, 3)
    assert lake.tidy() == {}  # not worth it yet
    many_commits(lake, 6)
    assert files_of(lake, "triples") > 5
    assert lake.tidy()["merged"] > 0
    assert files_of(lake, "triples") < 5
    assert lake.query("FROM instructpe", version=1).num_rows == 3
    assert lake.tidy() == {}


def test_a_run_goes_on_where_its_warehouse_cannot_be_tidied(lake, monkeypatch, caplog):
    def busy(connection, grace_s):
        raise duckdb.TransactionException("database is locked")

    monkeypatch.setattr(upkeep, "MANY_FILES", 1)
    monkeypatch.setattr(upkeep, "maintain", busy)
    many_commits(lake, 3)
    assert lake.tidy() == {}
    assert "database is locked" in caplog.text
    assert "diffchat maintain" in caplog.text
