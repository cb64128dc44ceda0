"""From a published version to a registered model: once, whole, and from where a kill left it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.train.data import example_of, tokenise
from models.train.policy import load_policy, load_student_tokenizer, student_hash
from schemas.errors import SourceError, TrainingError, WarehouseError
from schemas.records import PUBLISHED_ROWS
from schemas.settings import DecideSettings, load_settings
from tasks.model_versions import resolve_model
from tasks.sft import finished, sft_plan, train
from tasks.training_data import training_data
from tests.models.train.miniatures import student
from tests.models.train.test_data import row
from tests.warehouse.rows import collect, open_lake, triple, triples

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ("red", "blue", "green", "white", "pink")
THINGS = ("cat", "dog", "car", "house", "boat", "fish", "tree", "star", "bird", "rocket")
NAMES = [f"a {colour} {thing}" for colour in COLOURS for thing in THINGS]
EASY = [{"role": "keep", "text": "thing"}, {"role": "add", "text": "night"}]
HARD = [*EASY, {"role": "add", "text": "rain"}, {"role": "remove", "text": "snow"}]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return student(tmp_path_factory.mktemp("base"), context=256, initializer_range=0.02)


def publish(lake) -> int:
    """Fifty first turns and, of each, a second that makes the prompt a compound edit."""
    collect(lake, NAMES)
    rows = []
    for name in NAMES:
        first = triple(name, "make it night", f"{name} at night", units=EASY)
        more = {"root": name, "parent_triple_id": first["triple_id"], "turn": 2, "units": HARD}
        second = triple(first["target_prompt"], "add rain", f"{name} at night in rain", **more)
        rows += [first, second]
    lake.append("triples", triples(*rows))
    return lake.publish(lake.decide(DecideSettings(near_duplicates=False)))


def settings(base, **changes):
    small = {"epochs": 1, "batch": 8, "learning_rate": 5e-3, "max_length": 200, "packing": False}
    small |= {"evaluate_every": 5, "measured_cases": 20, "parquet": []}
    chosen = {f"sft.{name}": value for name, value in (small | changes).items()}
    return load_settings(
        "embedded", chosen | {"student.base": str(base), "student.max_new_tokens": 8}
    )


def test_a_version_becomes_a_registered_model_once(lake, home, base):
    version = publish(lake)
    chosen = settings(base)
    plan = sft_plan(lake, chosen)
    assert finished(lake, home, plan) is None
    result = train(lake, home, chosen, plan)

    model = resolve_model(lake, home, "latest")
    assert model.model_id == plan.model_id == result["model_id"]
    assert model.dataset_version == version
    assert model.base_hash == student_hash(base)
    again = finished(lake, home, sft_plan(lake, chosen))
    assert again is not None
    assert (again["model_id"], again["new"]) == (model.model_id, False)
    metrics = model.metrics
    assert metrics["test"]["cases"] == metrics["base"]["test"]["cases"] > 0
    assert metrics["hard"]["cases"] > 0
    assert metrics["test"]["loss"] < metrics["base"]["test"]["loss"]
    assert 0 <= metrics["test"]["integrity"] <= 1
    log = lake.query("SELECT term, count(*) AS n FROM training_log GROUP BY term").to_pylist()
    assert {"loss", "eval_loss"} <= {entry["term"] for entry in log}


def test_the_folder_is_a_standard_checkpoint_with_its_card(lake, home, base):
    publish(lake)
    chosen = settings(base, max_steps=2)
    folder = Path(train(lake, home, chosen, sft_plan(lake, chosen))["folder"])
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= names
    assert not names & {"checkpoints", "left_out.jsonl"}
    card = (folder / "README.md").read_text()
    assert "| content integrity |" in card
    assert "InstructPE version 1" in card
    assert load_policy(str(folder)).tokenizer.chat_template
    row = lake.query("SELECT weights_hash FROM model_versions").to_pylist()[0]
    assert row["weights_hash"] == student_hash(folder)


def test_what_determines_the_weights_is_the_id(lake, home, base):
    publish(lake)

    def model_id(**changes):
        return sft_plan(lake, settings(base, **changes)).model_id

    assert model_id() == model_id(measured_cases=3, dataset_version=1)
    others = [model_id(seed=1), model_id(epochs=2), model_id(max_examples=5)]
    others += [model_id(validation_cases=3)]  # they choose the best checkpoint, and when it ends
    assert len({model_id(), *others}) == 5


def test_a_model_trained_from_ours_knows_its_parent(lake, home, base):
    publish(lake)
    chosen = settings(base, max_steps=1)
    first = train(lake, home, chosen, sft_plan(lake, chosen))
    again = settings(first["folder"], max_steps=1)
    assert sft_plan(lake, again).parent_model_id == first["model_id"]


def test_files_of_rows_join_the_version_and_no_triple_comes_twice(lake, base, tmp_path):
    publish(lake)
    held = lake.query("FROM instructpe WHERE split = 'train' LIMIT 3").to_pylist()
    more = [row("new", "a cat", "add a dog", "a cat, a dog", version=0)]
    pq.write_table(pa.Table.from_pylist(held + more, schema=PUBLISHED_ROWS), tmp_path / "a.parquet")
    alone = training_data(lake, settings(base).sft, "sft")
    data = training_data(lake, settings(base, parquet=[str(tmp_path / "*.parquet")]).sft, "sft")

    def names(source):
        return [name for b in source.batches("train") for name in b["triple_id"].to_pylist()]

    assert names(data) == [*names(alone), "new"]
    assert data.identity != alone.identity
    assert sum(batch.num_rows for batch in data.batches("train", limit=7)) == 7


def test_earlier_turns_are_found_across_version_and_files(lake, base, tmp_path):
    """A second turn in a file whose first is in the version, and the other way round."""
    publish(lake)
    first = lake.query("FROM instructpe WHERE parent_triple_id IS NULL LIMIT 1").to_pylist()[0]
    later = row("new", first["target_prompt"], "add a dog", "a dog", version=0)
    later["parent_triple_id"] = first["triple_id"]
    pq.write_table(pa.Table.from_pylist([later], schema=PUBLISHED_ROWS), tmp_path / "a.parquet")
    data = training_data(lake, settings(base, parquet=[str(tmp_path / "a.parquet")]).sft, "sft")
    parents = data.parents()
    assert parents[first["triple_id"]]["instruction"] == "make it night"
    known = lake.query("SELECT count(DISTINCT parent_triple_id) FROM instructpe").column(0)[0]
    assert len(parents) == known.as_py()


def test_files_alone_are_enough(lake, home, base, tmp_path):
    rows = [row(str(i), f"a {t}", "make it night", f"a {t} at night") for i, t in enumerate(THINGS)]
    table = pa.Table.from_pylist(rows, schema=PUBLISHED_ROWS)
    pq.write_table(table, tmp_path / "rows.parquet")
    chosen = settings(base, parquet=[str(tmp_path / "rows.parquet")], max_steps=1)
    result = train(lake, home, chosen, sft_plan(lake, chosen))
    assert result["metrics"]["test"] == {"cases": 0}
    assert resolve_model(lake, home, "latest").dataset_version is None


def test_nothing_to_train_on_is_said(lake, base):
    with pytest.raises(WarehouseError, match="no dataset version is published"):
        sft_plan(lake, settings(base))
    with pytest.raises(SourceError, match="matches no file"):
        sft_plan(lake, settings(base, parquet=["no/such/*.parquet"]))
    publish(lake)
    with pytest.raises(WarehouseError, match="no dataset version 7; published: 1"):
        sft_plan(lake, settings(base, dataset_version=7))


def test_an_empty_version_is_said(lake, base):
    lake.publish(lake.decide(DecideSettings()))
    with pytest.raises(WarehouseError, match="version 1 is empty"):
        sft_plan(lake, settings(base))


def test_long_examples_are_listed_beside_the_model(lake, home, base):
    publish(lake)
    rows = [
        row
        for b in training_data(lake, settings(base).sft, "sft").batches("train")
        for row in b.to_pylist()
    ]
    tokens = tokenise([example_of(row, {}) for row in rows], load_student_tokenizer(base))
    lengths = settings(base, max_length=min(len(ids) for ids, _ in tokens), max_steps=1)
    result = train(lake, home, lengths, sft_plan(lake, lengths))
    rows = result["metrics"]["rows"]["train"]
    assert 0 < rows["too_long"] < rows["too_long"] + rows["examples"]
    listed = (Path(result["folder"]) / "left_out.jsonl").read_text().splitlines()
    assert {"split", "triple_id", "tokens"} == set(json.loads(listed[0]))
    assert (
        f"{len(listed)} examples were longer" in (Path(result["folder"]) / "README.md").read_text()
    )
    none = settings(base, max_length=20)
    with pytest.raises(TrainingError, match=r"longer than 20 tokens \(sft\.max_length"):
        train(lake, home, none, sft_plan(lake, none))


def test_examples_longer_than_the_students_context_are_left_out(lake, home, tmp_path):
    publish(lake)
    narrow = settings(student(tmp_path / "narrow", context=16))
    with pytest.raises(TrainingError, match=r"longer than 16 tokens .*the student's context"):
        train(lake, home, narrow, sft_plan(lake, narrow))


def test_two_processes_do_not_train_the_same_model(lake, home, base):
    import fcntl

    publish(lake)
    chosen = settings(base)
    plan = sft_plan(lake, chosen)
    folder = home / "models" / plan.model_id
    folder.mkdir(parents=True)
    with (folder / ".lock").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="Another process is training"):
            train(lake, home, chosen, plan)


SCRIPT = """
import sys
from pathlib import Path
from tasks.sft import sft_plan, train
from tests.tasks.test_sft import settings
from tests.warehouse.rows import open_lake
home, base = map(Path, sys.argv[1:])
with open_lake(home) as lake:
    chosen = settings(base, epochs=6, patience=0, evaluate_every=3)
    print(train(lake, home, chosen, sft_plan(lake, chosen))["model_id"])
"""


def start(home: Path, base: Path) -> subprocess.Popen:
    command = [sys.executable, "-c", SCRIPT, str(home), str(base)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_kill_nine_while_training_and_the_same_model_comes_of_it(lake, home, base, tmp_path):
    publish(lake)
    chosen = settings(base, epochs=6, patience=0, evaluate_every=3)
    plan = sft_plan(lake, chosen)
    work = home / "models" / plan.model_id / "checkpoints"
    process = start(home, base)
    end = time.monotonic() + 120
    while not list(work.glob("checkpoints/*/COMPLETE")) and time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert list(work.glob("checkpoints/*/COMPLETE"))
    assert finished(lake, home, plan) is None
    train(lake, home, chosen, plan)
    killed = resolve_model(lake, home, "latest")

    (home / "models").rename(tmp_path / "killed")
    undisturbed = tmp_path / "undisturbed"
    undisturbed.mkdir()
    with open_lake(undisturbed) as other:
        publish(other)
        again = sft_plan(other, chosen)
        train(other, undisturbed, chosen, again)
        assert again.model_id == plan.model_id
        assert resolve_model(other, undisturbed, "latest").metrics == killed.metrics
