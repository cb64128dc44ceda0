"""RLOO and GRPO by `trl`, on the task of eight words: they train, and go on after a kill."""

import pytest
import torch

from models.train.baselines import _dataset, train_trl
from models.train.sft import COMPLETE
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


def run(student, output, method="rloo", dies_at=None):
    policy, seen = toy.policy(0), {}

    def log(step, terms):
        if step == dies_at:
            raise Killed
        seen[step] = terms

    ended = train_trl(
        policy, student, toy.questions(), toy.reward(), toy.settings(method=method, **SMALL),
        output, log, max_new_tokens=4,
    )  # fmt: skip
    return policy, seen, ended


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_baseline_reports_every_step_and_moves_the_policy(student, tmp_path, method, recwarn):
    start = toy.policy(0).model.state_dict()
    policy, seen, ended = run(student, tmp_path / "run", method)
    assert not [w for w in recwarn if "disable` is deprecated" in str(w.message)]  # of every step
    assert sorted(seen) == [1, 2, 3, 4]
    assert [row["step"] for row in ended.history] == [1, 2, 3, 4]
    assert all({"reward", "integrity", "rows"} <= terms.keys() for terms in seen.values())
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


def test_questions_are_as_the_students_template_takes_them():
    words = toy.policy(0).tokenizer
    words.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('none') }}"
        "{% endif %}{{ m['content'] }}{% endfor %}"
    )
    said = ({"role": "system", "content": "Rewrite."}, {"role": "user", "content": "a cat"})
    asked = [question._replace(messages=said) for question in toy.questions()]
    rows = _dataset(asked, toy.settings(**SMALL), words)
    assert rows[0]["prompt"] == [{"role": "user", "content": "Rewrite.\n\na cat"}]
