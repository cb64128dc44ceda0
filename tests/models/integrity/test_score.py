"""Content integrity as a user of the score sees it."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.integrity import content_integrity, find_unit
from schemas.units import Unit


@pytest.mark.parametrize(
    ("unit", "prompt"),
    [
        ("blue car", "a blue car at night"),
        ("blue car", "a Blue sports car"),
        ("blue car", "the car is blue"),
        ("blue car", "a blue and white car"),
        ("dog", "three dogs in a park"),
        ("gray colour", "grey color"),
        ("two cats", "2 cats"),
        ("hot-air balloon", "a hot air balloon"),
        ("tree leaf", "tree leaves"),
        ("cat", "no dog but a cat"),
        ("cat", "a picture without dogs, a cat"),
        ("house", "no dog in the house"),
        ("cat", "no dog and a cat"),
        ("dog", "not only a dog"),
        ("no people", "a street without people"),
        ("castle", "a (castle:1.3), BREAK, <lora:castle_style:0.8>"),
        ("soft shadows", "a cat, soft shadows"),
    ],
)
def test_is_found(unit: str, prompt: str) -> None:
    assert find_unit(unit, prompt) is not None


@pytest.mark.parametrize(
    ("unit", "prompt"),
    [
        ("dog", "a park, no dog"),
        ("dog", "a park without a dog"),
        ("dog", "a park with no big dogs"),
        ("dog", "a dog-free park"),
        ("dog", "a park devoid of dogs"),
        ("dog", "a park free of big dogs"),
        ("dogs", "a park without cats or dogs"),
        ("happy girl", "an un-happy girl"),
        ("blue car", "a red car, a blue house"),
        ("blue car", "a blue house and a car"),
        ("red cat", "red car cat"),
        ("blue car", "the car is not blue"),
        ("cat", "a caterpillar"),
        ("people", "a street"),
        ("no people", "a street full of people"),
        ("ghost", "<lora:ghost:1> a castle"),
        ("", "a castle"),
        ("castle", ""),
    ],
)
def test_is_not_found(unit: str, prompt: str) -> None:
    assert find_unit(unit, prompt) is None


def test_score_is_recall_times_share_of_removed_gone() -> None:
    units = (
        Unit("keep", "cat"), Unit("add", "blue hat"), Unit("remove", "dog"), Unit("remove", "rain"),
    )  # fmt: skip
    result = content_integrity(units, "a cat and a dog, hat")
    assert result.score == pytest.approx(0.5 * 0.5)
    assert [miss.unit.text for miss in result.misses] == ["blue hat", "dog"]
    assert result.misses[0].reason == "'hat' is there, without 'blue'"
    assert result.misses[1].reason == "still present: 'dog'"


def test_nothing_asked_is_complete() -> None:
    assert content_integrity((), "anything").score == 1
    assert content_integrity((Unit("remove", "dog"),), "a cat").score == 1


def test_removed_unit_inside_a_longer_wanted_one_is_gone() -> None:
    units = (Unit("add", "two stars"), Unit("remove", "star"))
    assert content_integrity(units, "two stars at sea").score == 1
    assert content_integrity(units, "a star at sea").score == 0
    assert content_integrity(units, "two stars and a lone star").score == 0


def test_negated_unit_says_why() -> None:
    result = content_integrity((Unit("keep", "dog"),), "no dog")
    assert result.misses[0].reason == "negated in the prompt"


def test_extra_content_is_reported_and_free() -> None:
    units = (Unit("keep", "cat"),)
    result = content_integrity(units, "a cat with a red balloon, highly detailed, no dogs")
    assert result.score == 1
    assert result.extra == ("red balloon",)
    assert content_integrity(units, "a cat, a red balloon", allowed="a balloon, red").extra == ()


def test_a_hundred_thousand_scores_take_seconds() -> None:
    units = (Unit("keep", "cat"), Unit("add", "blue hat"), Unit("remove", "red dog"))
    nouns = ("car", "house", "boat", "tree", "fish", "bird", "star", "rocket", "flower", "balloon")
    prompts = [
        f"a cat in a blue hat beside {i} red {nouns[i % 10]}s at night, soft shadows"
        for i in range(20_000)
    ]
    start = time.process_time()
    scores = [content_integrity(units, prompt).score for prompt in prompts]
    assert time.process_time() - start < 4  # 20,000 distinct prompts; about 1 s on one core
    assert set(scores) == {1.0}


hostile = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["😀🎉 кошка", "שלום עולם", "'; DROP TABLE prompts; --", "<script>alert(1)</script>",
         "((((a:1.2)", "a" * 2_000, "no " * 600, "\x00\x1b[31m", "{{7*7}} ${HOME} `ls`"]
    ),
)  # fmt: skip


@settings(deadline=None)
@given(hostile, hostile, st.sampled_from(("keep", "add", "remove")))
def test_any_text_gets_a_score(unit: str, prompt: str, role: str) -> None:
    result = content_integrity(((role, unit),), prompt)
    assert 0 <= result.score <= 1
    assert all(miss.reason for miss in result.misses)
