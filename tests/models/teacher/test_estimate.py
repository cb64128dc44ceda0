"""Estimates: an interval that holds the truth, narrower with experience."""

import random

import pytest

from models.teacher.estimate import PastCall, estimate
from models.teacher.recipes import teacher_body
from schemas.settings import Price, TeacherSettings

SETTINGS = TeacherSettings(price=Price(prompt=1.0, completion=4.0), concurrency=10)
PROMPTS = [f"a painting of {i} cats in a garden at night, oil on canvas" for i in range(50)]
SAMPLE = [teacher_body(prompt, SETTINGS) for prompt in PROMPTS]


def past(number: int) -> list[PastCall]:
    rng = random.Random(1)
    return [
        PastCall(2_000, 500, round(rng.gauss(300, 40)), rng.gauss(2_000, 300), 1)
        for _ in range(number)
    ]


def test_without_experience_the_interval_is_wide_and_ordered():
    found = estimate(SAMPLE, 1_000, SETTINGS)
    for interval in (found.attempts, found.prompt_tokens, found.completion_tokens, found.usd):
        assert 0 < interval.low < interval.likely < interval.high
    assert found.usd.high > 3 * found.usd.low
    assert found.from_past_calls == 0


def test_experience_calibrates_and_narrows():
    found = estimate(SAMPLE, 1_000, SETTINGS, past(200))
    assert found.completion_tokens.low < 300_000 < found.completion_tokens.high
    assert found.seconds.low < 200 < found.seconds.high  # 2 s × 1,000 calls / 10 at a time
    assert found.usd.high < 1.1 * found.usd.low
    assert found.usd.likely == pytest.approx(
        found.prompt_tokens.likely / 1e6 + 4 * found.completion_tokens.likely / 1e6
    )
    assert estimate(SAMPLE, 1_000, SETTINGS, past(200)) == found


def test_a_few_calls_are_no_experience():
    assert estimate(SAMPLE, 10, SETTINGS, past(3)).from_past_calls == 0


def test_nothing_to_do_costs_nothing():
    found = estimate([], 0, SETTINGS)
    assert found.usd.high == found.prompt_tokens.high == found.seconds.high == 0
    with pytest.raises(ValueError, match="sample"):
        estimate([], 5, SETTINGS)


def test_it_says_when_the_cap_will_not_do():
    assert estimate(SAMPLE, 1_000, SETTINGS.model_copy(update={"max_usd": 0.01})).over_budget
    assert not estimate(SAMPLE, 1_000, SETTINGS.model_copy(update={"max_usd": 99.0})).over_budget
    assert estimate(SAMPLE, 1_000, SETTINGS.model_copy(update={"max_tokens": 10})).over_budget
