"""`retrain`: the order of its steps, what stops it, and that nothing new means nothing done."""

import pytest

from flows import retrain as module


class Factory:
    """Stands in for the flows and tasks that `retrain` calls, and remembers what it called."""

    def __init__(self, monkeypatch, new=True, pending=True, champion=None, promoted=True,
                 placed=False):  # fmt: skip
        self.calls, self.new = [], new
        self.promoted = promoted
        for name, answer in {
            "build_instructpe": {"new": new},
            "train_sft": {"model_id": "sft-1", "new": new},
            "train_rl": {"model_id": "ppo-1", "new": new},
            "evaluate": {"evaluation_id": "e", "new": new},
            "promote": {"promoted": promoted, "new": promoted, "reasons": []},
            "resolve": "run",
            "resolve_evaluation": "run",
            "up_to_date": not pending,
            "place_sft": placed,
            "place_rl": placed,
        }.items():
            monkeypatch.setattr(module, name, self.fake(name, answer))
        names = lambda run, candidate: [candidate, *([champion] if champion else [])]  # noqa: E731
        monkeypatch.setattr(module, "contenders", names)

    def fake(self, name, answer):
        def call(*arguments):
            self.calls.append((name, *arguments))
            return answer

        return call

    def steps(self):
        ours = ("build_instructpe", "train_sft", "train_rl", "evaluate", "promote")
        return [call[0] for call in self.calls if call[0] in ours]


def test_the_steps_in_order_and_the_champion_is_evaluated_with_the_candidate(monkeypatch):
    factory = Factory(monkeypatch, champion="ppo-0")
    result = module.retrain.fn("embedded", {"rl.seed": 1})
    assert factory.steps() == ["build_instructpe", "train_sft", "train_rl", "evaluate", "promote"]
    assert ("train_rl", "embedded", {"rl.seed": 1}, "sft-1") in factory.calls
    assert ("evaluate", "embedded", {"rl.seed": 1}, ["ppo-1", "ppo-0"]) in factory.calls
    assert ("promote", "run", "e", "ppo-1") in factory.calls
    assert result["worked"] == ["build", "sft", "rl", "evaluate", "promote"]


def test_the_trigger_on_a_published_version_cannot_publish_again(monkeypatch):
    factory = Factory(monkeypatch)
    module.retrain.fn("embedded", build=False)
    assert "build_instructpe" not in factory.steps()


def test_nothing_new_is_nothing_done(monkeypatch):
    factory = Factory(monkeypatch, new=False, pending=False, promoted=False)
    assert module.retrain.fn("embedded")["worked"] == []
    assert "build_instructpe" not in factory.steps()


def test_what_a_worker_trained_is_new_here_too(monkeypatch):
    factory = Factory(monkeypatch, new=False, pending=False, promoted=False, placed=True)
    assert module.retrain.fn("embedded", {"rl.seed": 1})["worked"] == ["sft", "rl"]
    asked = {"profile": "embedded", "overrides": {"rl.seed": 1}}
    assert ("place_sft", "run", asked) in factory.calls
    assert ("place_rl", "run", asked | {"parent": "sft-1"}) in factory.calls


def test_without_rl_the_sft_model_is_the_candidate(monkeypatch):
    factory = Factory(monkeypatch)
    assert module.retrain.fn("embedded", rl=False)["candidate"] == "sft-1"
    assert "train_rl" not in factory.steps()


@pytest.mark.parametrize("step", ["build_instructpe", "train_sft", "train_rl", "evaluate"])
def test_a_step_that_fails_leaves_the_champion_alone(monkeypatch, step):
    factory = Factory(monkeypatch)

    def fail(*_):
        raise RuntimeError(f"{step} failed")

    monkeypatch.setattr(module, step, fail)
    with pytest.raises(RuntimeError, match=step):
        module.retrain.fn("embedded")
    assert "promote" not in factory.steps()
