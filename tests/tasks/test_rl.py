"""Reward through the warehouse, and a whole RL run on the shipped text-to-image model."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from models.weights import write_sums
from schemas.errors import ModelError, TrainingError, WarehouseError
from schemas.settings import load_settings
from tasks.judging import Judge
from tasks.plan import new_run, one_row, plan_of
from tasks.training import reinforce
from tasks.training_log import Report
from tests.models.train import toy
from warehouse import Warehouse

MEASURES = ("aesthetics", "preference")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
SMALL = {
    "render.seeds": [0], "tis.steps": 2, "student.max_new_tokens": 8, "rl.steps": 2,
    "rl.parquet": [],
    "rl.prompts": 2, "rl.samples": 4, "rl.minibatch": 4, "rl.reward.calibration": 4,
    "rl.checkpoint_every": 1, "rl.samples_every": 2, "rl.value_warmup_updates": 0,
}  # fmt: skip


@pytest.fixture
def student(tmp_path):
    """A tiny student with random weights and room for a question of the world."""
    policy = toy.policy(0, positions=256)
    folder = tmp_path / "student"
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    write_sums(folder)
    return folder


def publish(lake, rows: int = 3, version: int = 1) -> None:
    for index in range(rows):
        lake.append(
            "published_rows",
            one_row(
                "published_rows", version=version, triple_id=f"t{index}", raw_prompt_id="r", turn=1,
                split="train", raw_prompt=f"a {toy.COLOURS[index]} car", instruction="add a tree",
                edit_kind="add", target_prompt=f"a {toy.COLOURS[index]} car and a green tree",
                intent="A car and a tree.", units=[{"role": "add", "text": "green tree"}],
                units_source="rule", source="s", licence="CC0-1.0",
            ),
        )  # fmt: skip
    lake.append(
        "dataset_versions",
        one_row(
            "dataset_versions", version=version, decision_set_id="d", snapshot_id=lake.snapshot(),
            rows=rows, status="published", profile="embedded", settings_hash="s", funnel="{}",
            published_at=NOW,
        ),
    )  # fmt: skip


def run_of(home, **changes):
    return new_run(load_settings("embedded", SMALL | changes), home)


def open_lake(run):
    from pathlib import Path

    return Warehouse.open(run.settings.warehouse, Path(run.home))


def test_what_was_judged_once_is_never_rendered_or_scored_again(home):
    run = run_of(home)
    plan = plan_of(run.settings)
    pairs = [("a red car", "A red car."), ("a blue boat", "A blue boat."), ("a red car", "A boat.")]
    with open_lake(run) as lake:
        first = Judge(lake, plan, (0, 1), MEASURES)
        values = first(pairs)
        assert values.shape == (3, 2)
        assert np.isfinite(values).all()
        assert values[0, 0] == values[2, 0], "aesthetics does not read the intent"
        assert values[0, 1] != values[2, 1], "preference does"
        assert (first.asked, first.rendered) == (6, 4)
        again = Judge(lake, plan, (0, 1), MEASURES)
        assert np.array_equal(again(pairs), values)
        assert again.rendered == 0
        assert lake.query("SELECT count(*) AS n FROM renders").column("n")[0].as_py() == 4


def test_a_run_leaves_a_model_its_log_and_samples_with_pictures(home, student):
    run = run_of(home)
    with open_lake(run) as lake:
        publish(lake)
    result = reinforce.fn(run, str(student))
    assert result["new"]
    assert result["status"] == "ok"
    with open_lake(run) as lake:
        (row,) = lake.query("FROM model_versions").to_pylist()
        assert (row["method"], row["status"], row["dataset_version"]) == ("ppo", "ok", 1)
        terms = lake.query("SELECT DISTINCT term FROM training_log").column(0).to_pylist()
        assert {"reward", "kl", "value_loss", "explained_variance"} <= set(terms)
        assert {"seconds_reward", "seconds_render", "seconds_score"} <= set(terms)
        assert "negatives_missing" in terms
        # Both are sums over the steps' log, so a run that was killed counts all of them.
        metrics = json.loads(row["metrics"])
        made = lake.query("SELECT count(*) FROM renders").column(0)[0].as_py()
        assert metrics["pictures_asked"] >= metrics["pictures_rendered"] == made
        samples = lake.query("FROM training_samples WHERE row_kind = 'on_policy'").to_pylist()
        assert samples
        shown = [sha for sample in samples for sha in sample["images"] if sha]
        assert all(lake.images.get(sha).startswith(b"\x89PNG") for sha in shown)
    from models.train.policy import load_policy

    folder = home / row["folder"]
    assert load_policy(str(folder)).rewrite([[{"role": "user", "content": "blue car"}]])
    assert "ppo" in (folder / "README.md").read_text()
    assert list((folder / "events").glob("events.out.tfevents*"))
    again = reinforce.fn(run, str(student))
    assert not again["new"]
    assert again["model_id"] == result["model_id"]


def test_a_baseline_by_trl_is_trained_on_the_same_reward(home, student):
    run = run_of(home, **{"rl.method": "rloo"})
    with open_lake(run) as lake:
        publish(lake)
    result = reinforce.fn(run, str(student))
    assert result["method"] == "rloo"
    assert result["metrics"]["steps"] == 2
    with open_lake(run) as lake:
        assert lake.query("SELECT method FROM model_versions").column(0).to_pylist() == ["rloo"]


def test_what_cannot_be_trained_on_is_said_before_anything_is_loaded(home, student):
    run = run_of(home)
    with pytest.raises(WarehouseError, match="diffchat build"):
        reinforce.fn(run, str(student))
    with open_lake(run) as lake:
        publish(lake, rows=0)
    with pytest.raises(WarehouseError, match="version 1 is empty"):
        reinforce.fn(run, str(student))
    with pytest.raises(WarehouseError, match="no dataset version 7"):
        reinforce.fn(run_of(home, **{"rl.dataset_version": 7}), str(student))
    with pytest.raises(ModelError, match="no model 'nobody'"):
        reinforce.fn(run, "nobody")


def test_questions_of_which_none_fits_are_said(home, student):
    with open_lake(run_of(home)) as lake:
        publish(lake)
    with pytest.raises(TrainingError, match=r"None of the 3 questions .*: 3 leave no room"):
        reinforce.fn(run_of(home, **{"student.max_new_tokens": 250}), str(student))


def test_a_report_that_goes_on_keeps_what_tensorboard_showed_before(tmp_path, home):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with open_lake(run_of(home)) as lake:
        for steps in ((1, 2, 3), (3, 4)):  # killed in step 4, from the checkpoint of step 2
            report = Report(lake, "m", tmp_path, lambda _: None, 1, drift={})
            for step in steps:
                report(step, {"reward": float(step)})
            report.close()
        log = lake.query("SELECT step FROM training_log ORDER BY step").column(0).to_pylist()
    assert log == [1, 2, 3, 4]
    shown = EventAccumulator(str(tmp_path)).Reload().Scalars("reward")
    assert [point.step for point in shown] == [1, 2, 3, 4]
