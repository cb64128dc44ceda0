"""What a step learns from: the order of questions, and rewards that run beside the update."""

import threading

import pytest

from models.train import rl
from models.train.clock import Clock
from models.train.experience import Experience
from models.train.rl import Sinks, train_ppo
from schemas.errors import TrainingError
from tests.models.train import toy

SMALL = {"steps": 6, "prompts": 2, "samples": 4, "minibatch": 4, "checkpoint_every": 3}


def run(folder, reward=None, log=lambda step, terms: None, **changes):
    return train_ppo(
        toy.policy(0), toy.questions(), reward or toy.reward(),
        toy.settings(**{**SMALL, **changes}), folder, Sinks(log, lambda *found: None),
        max_new_tokens=8, accelerator=toy.SINGLE, ahead=True,
    )  # fmt: skip


def numbers(ended):
    return [
        {k: v for k, v in terms.items() if not k.startswith("seconds")} for terms in ended.history
    ]


def test_every_prompt_of_a_step_is_answered_as_often_as_the_settings_say():
    experience = Experience(
        toy.policy(0), toy.questions(), toy.reward(), toy.settings(prompts=2, samples=3),
        max_new_tokens=8, accelerator=toy.SINGLE, clock=Clock(),
    )  # fmt: skip
    asked = [question.question_id for question in experience.asked(0)]
    assert asked == asked[:2] * 3
    assert asked[0] != asked[1]


def test_the_next_reward_is_computed_beside_the_update(tmp_path, monkeypatch):
    updating, update = threading.Event(), rl.update

    def slow(*arguments, **options):
        updating.set()
        return update(*arguments, **options)

    def judge(pairs):
        if threading.current_thread() is not threading.main_thread():
            assert updating.wait(timeout=60), "the update waited for the reward"
            beside.append(1)
        return toy.judge(pairs)

    beside: list[int] = []
    reward = toy.reward()
    reward.judge = judge
    monkeypatch.setattr(rl, "update", slow)
    assert run(tmp_path, reward).status == "ok"
    assert len(beside) == 4, "steps 1, 2, 4 and 5; 0 is the first, 3 follows a checkpoint"


def test_a_run_ahead_that_goes_on_computes_the_same_numbers(tmp_path):
    whole = run(tmp_path / "whole")

    class Killed(Exception):
        pass

    def dies(step, terms):
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path / "cut", log=dies)
    rest = run(tmp_path / "cut")
    assert [terms["step"] for terms in rest.history] == [1, 2, 3, 4, 5, 6]
    for same, again in zip(numbers(whole), numbers(rest), strict=True):
        assert same == pytest.approx(again, rel=1e-6, nan_ok=True)


def test_a_reward_that_fails_beside_the_update_is_raised(tmp_path):
    reward, calls = toy.reward(), []

    def judge(pairs):
        calls.append(1)
        if len(calls) == 5:
            return toy.judge(pairs) * float("nan")
        return toy.judge(pairs)

    reward.judge = judge
    with pytest.raises(TrainingError, match="no number"):
        run(tmp_path, reward)
    assert run(tmp_path).step == 6


def test_a_policy_one_step_old_still_learns(tmp_path):
    task = {"prompts": 1, "samples": 32, "minibatch": 16, "epochs": 2, "entropy_bonus": 0.02}
    history = run(tmp_path, **task, steps=30, checkpoint_every=1000).history
    rewards = [terms["reward"] for terms in history]
    assert sum(rewards[-5:]) > sum(rewards[:5]) + 1.0
