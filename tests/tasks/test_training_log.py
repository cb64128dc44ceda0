"""What is said of a training's course."""

import math

import pytest

from tasks.training_log import fifths, with_drift


def steps(*rewards: float) -> list[dict[str, float]]:
    return [{"reward": reward, "kl": 1.0} for reward in rewards]


def test_a_rise_between_different_questions_has_the_error_of_both_ends():
    found = fifths(steps(1.0, 3.0, *[0.0] * 6, 3.0, 7.0))
    assert (found["reward_first_fifth"], found["reward_last_fifth"]) == (2.0, 5.0)
    assert found["reward_rise"] == 3.0
    # deviations of (1, 3) and (3, 7) are √2 and √8; two steps each
    assert found["reward_rise_error"] == pytest.approx(math.sqrt((2 + 8) / 2), abs=1e-4)
    assert not found["reward_rise_paired"]


def test_steps_that_ask_the_same_questions_are_compared_with_each_other():
    history = steps(1.0, 3.0, *[0.0] * 6, 3.0, 7.0)
    found = fifths(history, epoch_steps=2)  # steps 0, 2, 4, 6, 8 ask the same
    assert found["reward_rise"] == 3.0
    # differences are 2 and 4, their deviation √2
    assert found["reward_rise_error"] == pytest.approx(1.0, abs=1e-4)
    assert found["reward_rise_paired"]


def test_epochs_that_do_not_meet_the_fifths_are_not_paired():
    assert not fifths(steps(*[1.0] * 10), epoch_steps=3)["reward_rise_paired"]


def test_too_few_steps_have_no_error():
    found = fifths(steps(1.0, 2.0, 3.0))
    assert found["reward_first_fifth"] == 1.0
    assert "reward_rise" not in found


def test_what_a_surrogate_was_off_by_is_part_of_the_course():
    """Rendered are steps 1 and 9 of 10: what is known of a fifth is the mean of those."""
    history = [terms | {"step": float(i)} for i, terms in enumerate(steps(*[1.0] * 10), 1)]
    drift = {i: {"surrogate_rank_aesthetics": rank} for i, rank in ((0, 0.9), (8, 0.4))}
    found = fifths(with_drift(history, drift))
    assert found["surrogate_rank_aesthetics_first_fifth"] == 0.9
    assert found["surrogate_rank_aesthetics_last_fifth"] == 0.4
    assert "surrogate_rank_preference_last_fifth" not in found
