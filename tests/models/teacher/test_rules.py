"""Rules: each fault has its word, and what is carried over intact has none."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.teacher.rules import (
    MAX_INSTRUCTION_CHARACTERS,
    MAX_TARGET_CHARACTERS,
    MAX_UNITS,
    violations,
)
from models.teacher.syntax import protected_syntax
from schemas.units import Unit

RAW = "a red car on a street at night, oil painting"
TARGET = "a blue car on a street at night, oil painting"
UNITS = [Unit("keep", "street"), Unit("add", "blue car"), Unit("remove", "red car")]


def broken(
    raw: str = RAW,
    instruction: str = "make the car blue",
    target: str = TARGET,
    intent: str = "A blue car stands on a street at night.",
    units: list[Unit] = UNITS,
    **options,
) -> list[str]:
    """The words before the colons."""
    return [
        text.split(":")[0]
        for text in violations(raw, instruction, target, intent, units, **options)
    ]


def test_a_good_proposal_breaks_nothing():
    assert broken() == []
    assert broken(count_tokens=lambda text: len(text.split()), token_budget=20) == []


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"instruction": " "}, "instruction"),
        ({"instruction": "x" * (MAX_INSTRUCTION_CHARACTERS + 1)}, "instruction"),
        ({"intent": ""}, "intent"),
        ({"intent": "x" * 2_000}, "intent"),
        ({"target": "A red car on a street  at night, oil painting."}, "target"),
        ({"target": TARGET + " x" * MAX_TARGET_CHARACTERS}, "target"),
        ({"target": TARGET + "\0"}, "text"),
        ({"units": [Unit("keep", "dog")]}, "keep_not_in_raw"),
        ({"units": [Unit("remove", "dog")]}, "remove_not_in_raw"),
        ({"units": [Unit("add", "street")]}, "add_in_raw"),
        ({"units": [Unit("add", "green car")]}, "add_in_target"),
        ({"units": [Unit("keep", "red car")]}, "keep_in_target"),
        ({"units": [Unit("remove", "street")]}, "remove_in_target"),
        ({"units": [Unit("add", "blue")]}, "colour_alone"),
        ({"units": [Unit("keep", "street")] * (MAX_UNITS + 1)}, "units"),
        ({"units": [Unit("keep", "street " * 100)]}, "unit"),
        ({"units": [Unit("keep", "")]}, "keep_not_in_raw"),
    ],
)
def test_each_fault_has_its_word(changes, word):
    assert word in broken(**changes)


def test_the_token_budget_is_the_encoders():
    assert "target_tokens" in broken(count_tokens=lambda _: 78, token_budget=77)
    assert broken(count_tokens=lambda _: 77, token_budget=77) == []


SYNTAX = (
    "(masterpiece:1.2)",
    "((best quality))",
    "[blurry]",
    "{day|night}",
    "BREAK",
    "<lora:film grain:0.8>",
    "--ar 16:9",
    '"Open 24 hours"',
    "“Bar”",
    "'Open 24 hours'",
    "‘Bar’",
    "—ar 16:9",
)


@pytest.mark.parametrize("piece", SYNTAX)
def test_lost_or_changed_syntax_is_found(piece):
    raw = f"a red car on a street, {piece}, at night"
    kept = f"a blue car on a street, {piece}, at night"
    assert protected_syntax(raw) == [piece]
    assert broken(raw, target=kept) == []
    assert "syntax" in broken(raw, target=kept.replace(piece, ""))
    if piece not in ("BREAK",):
        changed = piece.replace("1.2", "1.3").replace("16:9", "1:1").replace("0.8", "0.9")
        changed = changed.replace("best", "good").replace("blurry", "sharp")
        changed = changed.replace("day", "dusk").replace("24", "12").replace("Bar", "Café")
        assert "syntax" in broken(raw, target=kept.replace(piece, changed))


@pytest.mark.parametrize("prompt", ["the dogs' and cats' house", "rock 'n' roll", "a cat —asleep"])
def test_apostrophes_and_dashes_of_plain_english_are_no_syntax(prompt):
    assert protected_syntax(prompt) == []


def test_syntax_may_go_where_its_words_are_removed():
    raw = 'a red car and a sign that says "Open" on a street'
    units = [Unit("remove", 'sign that says "Open"'), Unit("keep", "street")]
    assert "syntax" not in broken(raw, target="a red car on a street", units=units)


words = st.sampled_from(
    ["cat", "dog", "house", "tree", "lake", "bridge", "lamp", "boat", "train", "rose"]
)
prompts = st.lists(words, min_size=2, max_size=6, unique=True)


@settings(max_examples=60, deadline=None)
@given(prompts, words, st.sampled_from(SYNTAX), st.integers(0, 6))
def test_adding_a_thing_and_keeping_the_rest_breaks_nothing(things, new, piece, place):
    assume(new not in things)
    parts = [f"a {thing}" for thing in things]
    parts.insert(min(place, len(parts)), piece)
    raw = ", ".join(parts)
    units = [Unit("keep", thing) for thing in things] + [Unit("add", new)]
    assert broken(raw, f"add a {new}", f"{raw}, a {new}", f"There is a {new}.", units) == []


@settings(max_examples=60, deadline=None)
@given(prompts, st.data())
def test_a_unit_that_is_lost_is_always_named(things, data):
    gone = data.draw(st.sampled_from(things))
    raw = ", ".join(f"a {thing}" for thing in things)
    target = ", ".join(f"a {thing}" for thing in things if thing != gone) + ", by night"
    units = [Unit("keep", thing) for thing in things]
    said = violations(raw, "by night", target, "Night.", units)
    assert said == [f"keep_in_target:{gone}"]


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=300),
    st.text(max_size=80),
    st.text(max_size=300),
    st.text(max_size=80),
    st.lists(
        st.builds(Unit, st.sampled_from(["keep", "add", "remove"]), st.text(max_size=40)),
        max_size=6,
    ),
)
def test_any_text_gets_a_verdict(raw, instruction, target, intent, units):
    said = violations(raw, instruction, target, intent, units, len, 77)
    assert all(isinstance(text, str) and ":" in text for text in said)
    if raw == target:
        assert any(text.startswith("target:") for text in said)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet='()[]{}<>:"-. aB1', max_size=2_000))
def test_protected_syntax_is_found_in_time_and_survives_as_it_is(prompt):
    pieces = protected_syntax(prompt)
    assert all(piece in prompt for piece in pieces)
    assert "syntax" not in broken(prompt, target=f"{prompt}, at night", units=[])
