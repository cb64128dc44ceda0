"""What a model card says of a training."""

from models.train.card import learning, rise, write_card

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


def card_of(folder, base, parent=None):
    nothing = {"test": {}, "hard": {}}
    columns = {
        "model_id": "0" * 32, "method": "sft", "base": base, "base_hash": "a1", "seed": 1,
        "parent_model_id": parent, "snapshot_id": 3, "settings": {}, "code_revision": "c1",
        "trained_at": "today", "metrics": nothing | {"base": nothing},
    }  # fmt: skip
    return write_card(folder, columns, "data", "10 of 10").read_text()


def test_a_base_of_the_hub_is_linked(tmp_path):
    assert "\nbase_model: bigscience/bloom-1b1\n" in card_of(tmp_path, "bigscience/bloom-1b1")


def test_a_base_that_is_a_folder_is_named_without_its_path(tmp_path):
    (tmp_path / "lm").mkdir()
    card = card_of(tmp_path, str(tmp_path / "lm"))
    assert "base_model" not in card
    assert "from `lm` on data" in card
    assert str(tmp_path) not in card


def test_a_base_of_ones_own_is_no_model_of_the_hub(tmp_path):
    """`models/<id>` below a home reads like an owner and a name."""
    card = card_of(tmp_path, "models/4f2a", parent="4f2a")
    assert "base_model" not in card
    assert "from `4f2a` on data" in card
