"""RLOO and GRPO by `trl`, on the task of eight words: they train, and go on after a kill."""

import pytest
import torch

from models.train.baselines import _config, _dataset, train_trl
from models.train.sft import COMPLETE
from schemas.errors import TrainingError
from tests.models.train import toy

SMALL = {"steps": 4, "prompts": 2, "samples": 4, "epochs": 1, "checkpoint_every": 2}


@pytest.fixture
def student(tmp_path):
    """The toy policy as a folder: `trl` reads the reference from it."""
    policy = toy.policy(0)
    policy.model.save_pretrained(tmp_path / "student")
    policy.tokenizer.save_pretrained(tmp_path / "student")
    return tmp_path / "student"


class Killed(Exception):
    pass


def run(student, output, method="rloo", dies_at=None, **changes):
    policy, seen = toy.policy(0), {}

    def log(step, terms):
        if step == dies_at:
            raise Killed
        seen[step] = terms

    ended = train_trl(
        policy, student, toy.questions(), toy.reward(),
        toy.settings(method=method, **SMALL | changes), output, log, max_new_tokens=4,
    )  # fmt: skip
    return policy, seen, ended


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_baseline_reports_every_step_and_moves_the_policy(student, tmp_path, method, recwarn):
    start = toy.policy(0).model.state_dict()
    policy, seen, ended = run(student, tmp_path / "run", method)
    assert not [w for w in recwarn if w.category is FutureWarning]
    assert sorted(seen) == [1, 2, 3, 4]
    assert [row["step"] for row in ended.history] == [1, 2, 3, 4]
    names = {"reward", "integrity", "rows", "kl", "entropy", "policy_loss", "gradient_norm"}
    assert all(names <= terms.keys() for terms in seen.values())
    assert any(not torch.equal(v, start[k]) for k, v in policy.model.state_dict().items())


def test_a_baseline_that_was_killed_goes_on_and_knows_the_steps_before(student, tmp_path):
    whole = run(student, tmp_path / "whole")[2]
    with pytest.raises(Killed):
        run(student, tmp_path / "cut", dies_at=3)
    half = tmp_path / "cut" / "checkpoint-3"  # of a kill while it was written
    half.mkdir()
    (half / "trainer_state.json").write_text("{")
    _, seen, ended = run(student, tmp_path / "cut")
    assert sorted(seen) == [3, 4]
    assert [row["step"] for row in ended.history] == [1, 2, 3, 4]
    for before, after in zip(whole.history, ended.history, strict=True):
        assert before == pytest.approx(after, rel=1e-4)
    assert (tmp_path / "cut" / "checkpoint-4" / COMPLETE).exists()


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_step_has_as_many_updates_as_ppos(tmp_path, method):
    settings = toy.settings(method=method, steps=5, prompts=6, samples=4, minibatch=10, epochs=2)
    config, _ = _config(settings, tmp_path, 4, "cpu")
    assert config.max_steps == 5 * 2 * 3  # 24 rows: three minibatches of 8, none of 10
    assert (config.per_device_train_batch_size, config.steps_per_generation) == (8, 3)
    assert (config.num_iterations, config.generation_batch_size) == (2, 24)


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_baseline_that_diverges_ends_with_its_last_checkpoint(student, tmp_path, method):
    from safetensors.torch import load_file

    policy, seen, ended = run(
        student, tmp_path / "run", method, kl_coefficient=0.01, learning_rate=0.3,
        warmup_steps=1, kl_limit=0.5, checkpoint_every=1,
    )  # fmt: skip
    assert ended.status == "diverged"
    assert "rl.kl_limit" in ended.reason
    assert ended.reason.startswith(f"step {len(seen)}:")
    assert ended.step == len(ended.history) == len(seen) - 1
    kept = load_file(tmp_path / "run" / f"checkpoint-{ended.step}" / "model.safetensors")
    trained = policy.model.state_dict()
    assert all(torch.equal(trained[name], tensor) for name, tensor in kept.items())


def test_a_gradient_that_is_no_number_ends_a_baseline(student, tmp_path, monkeypatch):
    from trl import RLOOTrainer

    whole = RLOOTrainer._compute_loss
    monkeypatch.setattr(
        RLOOTrainer, "_compute_loss", lambda self, *given: whole(self, *given) * float("nan")
    )
    start = toy.policy(0).model.state_dict()
    policy, seen, ended = run(student, tmp_path / "run")
    assert (ended.status, ended.step, list(seen)) == ("diverged", 0, [1])
    assert ended.reason == "step 1: policy_loss is nan"
    assert all(torch.equal(v, start[k]) for k, v in policy.model.state_dict().items())


@pytest.mark.usefixtures("full_at_the_second_checkpoint")
def test_a_full_disk_keeps_a_baselines_last_checkpoint(student, tmp_path):
    with pytest.raises(TrainingError, match=r"is full.*step 2 is kept"):
        run(student, tmp_path / "run")
    assert run(student, tmp_path / "run")[2].status == "ok"


def test_questions_are_whole_conversations_for_the_students_template():
    said = ({"role": "system", "content": "Rewrite."}, {"role": "user", "content": "a cat"})
    asked = [question._replace(messages=said) for question in toy.questions()]
    rows = _dataset(asked, toy.settings(**SMALL))
    assert rows[0]["prompt"] == list(said)
