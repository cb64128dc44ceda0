"""The reward is what DESIGN.md says, and refuses what is no number."""

import numpy as np
import pytest

from models.train.reward import Reward
from models.train.rollout import Question
from schemas.errors import TrainingError
from schemas.training import RewardSettings
from schemas.units import Unit

QUESTION = Question(
    "q", "a car", "make it blue", "A blue car.", (Unit("add", "blue car"),), ({"role": "user"},)
)
PLAIN = RewardSettings(aesthetics=1.0, preference=0.5, integrity=2.0, length_penalty=0.0)


class Judge:
    """Scores by table; remembers what it was asked."""

    def __init__(self, **scores):
        self.scores, self.asked = scores, []

    def __call__(self, pairs):
        self.asked += pairs
        return np.array([self.scores[prompt] for prompt, _ in pairs], dtype=float)


def reward(judge, settings=PLAIN, scales=(2.0, 1.0), budget=10):
    return Reward(settings, judge, lambda text: len(text.split()), budget, scales)


def test_gains_over_the_raw_prompt_in_sigma_plus_integrity():
    judge = Judge(**{"a car": (5.0, 20.0), "a blue car": (6.0, 20.5), "a red car": (6.0, 19.0)})
    good, bad = reward(judge)([QUESTION] * 2, ["a blue car", "a red car"])
    assert good.gains == (1.0, 0.5)
    assert good.total == pytest.approx(1.0 * 0.5 + 0.5 * 0.5 + 2.0 * 1.0)
    assert bad.total == pytest.approx(1.0 * 0.5 + 0.5 * -1.0 + 0.0)


def test_the_intent_is_asked_never_the_candidate():
    judge = Judge(**{"a car": (5.0, 20.0), "a blue car": (6.0, 20.5)})
    reward(judge)([QUESTION], ["a blue car"])
    assert {intent for _, intent in judge.asked} == {"A blue car."}


def test_a_gain_counts_three_sigma_at_most():
    judge = Judge(**{"a car": (0.0, 0.0), "a blue car": (1e6, -1e6)})
    (found,) = reward(judge)([QUESTION], ["a blue car"])
    assert found.parts == (3.0, -1.5)


def test_a_prompt_over_the_budget_is_not_rendered_and_counts_as_the_worst():
    judge = Judge(**{"a car": (0.0, 0.0)})
    long = "a blue car " * 5
    (found,) = reward(judge)([QUESTION], [long])
    assert found.too_long
    assert found.parts == (-3.0, -1.5)
    assert long not in {prompt for prompt, _ in judge.asked}


def test_length_costs_only_beyond_its_free_share():
    settings = PLAIN.model_copy(update={"length_penalty": 1.0, "length_free": 0.5})
    judge = Judge(**{"a car": (0, 0), "a blue car": (0, 0), "a blue car in the deep fog": (0, 0)})
    short, long = reward(judge, settings)(
        [QUESTION] * 2, ["a blue car", "a blue car in the deep fog"]
    )
    assert short.length_penalty == 0
    assert long.length_penalty == pytest.approx(7 / 10 - 0.5)


def test_a_scorer_that_returns_nan_stops_the_training_and_names_the_prompt():
    judge = Judge(**{"a car": (0.0, 0.0), "a blue car": (float("nan"), 0.0)})
    with pytest.raises(TrainingError, match="a blue car"):
        reward(judge)([QUESTION], ["a blue car"])


def test_sigma_is_the_deviation_of_the_starting_models_gains():
    judge = Judge(**{"a car": (0.0, 0.0), "x": (1.0, 2.0), "y": (3.0, 8.0)})
    fresh = reward(judge, scales=None)
    fresh.calibrate([QUESTION] * 2, ["x", "y"])
    assert fresh.scales == pytest.approx((np.std([1, 3], ddof=1), np.std([2, 8], ddof=1)))
    with pytest.raises(TrainingError, match="nothing to scale"):
        fresh.calibrate([QUESTION] * 2, ["x", "x"])


def test_each_phrase_said_again_costs_unless_the_raw_prompt_says_it_as_often():
    settings = PLAIN.model_copy(update={"repeat_penalty": 0.25, "integrity": 0.0})
    prompts = ["a car", "a blue car, fog", "a blue car, fog, fog, fog"]
    judge = Judge(**{prompt: (0.0, 0.0) for prompt in prompts})
    once, thrice = reward(judge, settings)([QUESTION] * 2, prompts[1:])
    assert (once.repeats, once.total) == (0, 0.0)
    assert (thrice.repeats, thrice.total) == (2, -0.5)
    foggy = QUESTION._replace(raw_prompt=prompts[2])
    (given,) = reward(judge, settings)([foggy], prompts[2:])
    assert given.total == 0.0
