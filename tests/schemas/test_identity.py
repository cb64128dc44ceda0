"""Identities: stable over time and machines, sensitive to content only."""

import collections

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import identity

# Written down once: if one of these changes, every warehouse out there would pay all calls again.
GOLDEN = {
    "raw_prompt": (identity.raw_prompt_id("a red house"), "086fc28e039bd058e73cde54909a98fe"),
    "render": (identity.render_id("a red house", "00", 7), "8a9a25a5b5241941218427a737667e74"),
    "call": (
        identity.call_id({"model": "m", "messages": []}, 0),
        "4b1b62753708e15e75c6a548b8a08980",
    ),
}


@pytest.mark.parametrize("kind", GOLDEN)
def test_ids_never_change(kind):
    got, expected = GOLDEN[kind]
    assert got == expected


def test_the_order_of_keys_does_not_matter_but_values_do():
    assert identity.call_id({"a": 1, "b": 2}, 0) == identity.call_id({"b": 2, "a": 1}, 0)
    assert identity.call_id({"a": 1}, 0) != identity.call_id({"a": 2}, 0)
    assert identity.call_id({"a": 1}, 0) != identity.call_id({"a": 1}, 1)


@given(st.text(), st.text())
def test_different_prompts_have_different_ids(a, b):
    assert (identity.raw_prompt_id(a) == identity.raw_prompt_id(b)) == (a == b)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        identity.content_id("x", float("nan"))


def test_splits_have_the_promised_shares_and_never_move():
    ids = [identity.raw_prompt_id(str(i)) for i in range(20_000)]
    shares = collections.Counter(map(identity.split_of, ids))
    assert set(shares) == {"train", "validation", "test"}
    for name in ("validation", "test"):
        assert shares[name] / len(ids) == pytest.approx(0.05, abs=0.01)
    assert identity.split_of("0" * 32) == "train"
