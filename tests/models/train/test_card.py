"""What a model card says of a training."""

from models.train.card import learning, rise

METRICS = {
    "reward_first_fifth": 1.5, "reward_last_fifth": 2.5,
    "reward_rise": 1.0, "reward_rise_error": 0.5, "reward_rise_paired": False,
}  # fmt: skip


def test_how_far_the_reward_rose_is_said_in_standard_errors():
    assert rise(METRICS) == "The reward rose by 1.00, 2.0 standard errors of the difference."
    fell = METRICS | {"reward_rise": -0.5, "reward_rise_paired": True}
    assert rise(fell) == (
        "The reward fell by 0.50 on the same questions, 1.0 standard errors of the difference."
    )
    assert rise(METRICS) in learning(METRICS)


def test_a_run_too_short_for_errors_says_nothing_of_a_rise():
    assert rise({"reward_first_fifth": 1.0, "reward_last_fifth": 2.0}) == ""
    assert learning({}) == ""
