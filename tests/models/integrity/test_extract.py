"""Units by rule, against hand labels.

The labels (`extract_units_200.jsonl`) were written before the rules, by the author of both, so the
wording of the instructions is one person's.  Half of the raw prompts (`held_out`) were not looked
at while the rules were tuned on the other half.
"""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.integrity import extract_units
from models.integrity.__main__ import f1_by_half
from schemas.units import Unit

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("extract_units_200.jsonl").read_text("utf-8").splitlines()
]


@pytest.mark.parametrize("half", ["tuned", "held_out"])
def test_agrees_with_hand_labels(half: str) -> None:
    assert len(CASES) == 200
    assert f1_by_half(CASES)[half] >= 0.85


def test_halves_share_no_prompt() -> None:
    halves = {half: {c["raw_prompt"] for c in CASES if c["half"] == half}
              for half in ("tuned", "held_out")}  # fmt: skip
    assert not halves["tuned"] & halves["held_out"]


def test_instruction_alone() -> None:
    units = extract_units("a red car at night", "make the car blue and add a dog")
    assert set(units) == {
        Unit("keep", "night"), Unit("add", "blue car"), Unit("add", "dog"),
        Unit("remove", "red car"),
    }  # fmt: skip


def test_a_wish_that_names_nothing_adds_nothing() -> None:
    units = extract_units("a cat", "make it prettier", "a cat, soft light, rich colors")
    assert units == (Unit("keep", "cat"),)


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.none() | st.text(max_size=200))
def test_any_text_has_units(raw: str, instruction: str, target: str | None) -> None:
    for unit in extract_units(raw, instruction, target):
        assert unit.text
        assert unit.role in ("keep", "add", "remove")


@pytest.mark.parametrize(
    "text",
    ["😀🎉 кошка", "שלום עולם, 🐈", "'; DROP TABLE prompts; --", "<script>alert(1)</script>",
     "a " * 1_000, "((((a:1.2)", "remove " * 200, "\x00\x1b[31m"],
)  # fmt: skip
def test_hostile_text_has_units(text: str) -> None:
    extract_units(text, text)
    extract_units(text, text, text[::-1])
