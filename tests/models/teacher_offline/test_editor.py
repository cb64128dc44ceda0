"""What the offline editor proposes, judged by the rules that judge every teacher."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.integrity import content_integrity
from models.teacher.offline.editor import beautify_pair, propose
from models.teacher.rules import violations
from models.world.grammar import raw_prompts
from schemas.units import EditKind

PROMPTS = Path(__file__).with_name("prompts.txt").read_text("utf-8").splitlines()
FIRST_TURN = [kind for kind in EditKind if kind is not EditKind.FOLLOW_UP]


def _share_without_violation(prompts: list[str]) -> float:
    good = asked = 0
    for prompt in prompts:
        for kind in EditKind:
            asked += 1
            for p in propose(prompt, [kind]):
                good += not violations(prompt, p.instruction, p.target_prompt, p.intent, p.units)
    return good / asked


def test_passes_the_rule_checks() -> None:
    assert _share_without_violation(PROMPTS) >= 0.95


def test_edits_the_embedded_world() -> None:
    assert _share_without_violation(raw_prompts(60, 1)) >= 0.95


def test_targets_honour_their_own_units() -> None:
    for prompt in PROMPTS:
        for proposal in propose(prompt, list(EditKind)):
            assert content_integrity(proposal.units, proposal.target_prompt).score == 1


@pytest.mark.parametrize("kind", FIRST_TURN)
def test_kind_is_reported_truthfully(kind: EditKind) -> None:
    roles = {EditKind.ADD: "add", EditKind.REMOVE: "remove", EditKind.ATTRIBUTE: "add"}
    for proposal in propose("a photo of a cat in a park", [kind], seed=3):
        wanted = roles.get(proposal.kind)
        assert wanted is None or any(unit.role == wanted for unit in proposal.units)


def test_nothing_to_remove_falls_back() -> None:
    (proposal,) = propose("dog", [EditKind.REMOVE])
    assert proposal.kind is not EditKind.REMOVE
    assert proposal.target_prompt != "dog"


@pytest.mark.parametrize(
    ("prompt", "target"),
    [
        ("A nun holding a sign that says repent", "A nun"),
        ('a cat holding a sign that says "Open late"', "a cat"),
        ("A group of dinosaurs having a fancy tea party", "A group of dinosaurs"),
        ("Bacon and eggs on a plate", "Bacon and eggs"),
        ("a bear wearing a shirt in the style of Klimt", "a bear in the style of Klimt"),
    ],
)
def test_a_thing_goes_with_what_hangs_on_it(prompt: str, target: str) -> None:
    (proposal,) = propose(prompt, [EditKind.REMOVE])
    assert (proposal.kind, proposal.target_prompt) == (EditKind.REMOVE, target)
    p = proposal
    assert violations(prompt, p.instruction, p.target_prompt, p.intent, p.units) == []


def test_what_a_thing_is_made_of_can_be_replaced() -> None:
    (proposal,) = propose("a car made of bacon", [EditKind.REPLACE])
    assert proposal.kind is EditKind.REPLACE
    assert proposal.target_prompt.startswith("a car made of ")


def test_falls_back_only_to_allowed_kinds() -> None:
    allowed = (EditKind.REMOVE, EditKind.BEAUTIFY)
    (proposal,) = propose("dog", [EditKind.REMOVE], allowed=allowed)
    assert proposal.kind is EditKind.BEAUTIFY


@pytest.mark.parametrize(
    "piece", ["(smile:1.2)", "<lora:x:0.8>", "BREAK", "--ar 16:9", '"open late"', "[cat:dog:0.5]"]
)
def test_syntax_survives(piece: str) -> None:
    for prompt in (f"a cat in a park, {piece}", f"{piece}, a red car beside a dog, oil painting"):
        for seed in range(5):
            for proposal in propose(prompt, list(EditKind), seed):
                assert piece in proposal.target_prompt


def test_same_request_same_answer_and_another_seed_another() -> None:
    prompt = "a cat in a park"
    assert propose(prompt, FIRST_TURN, 1) == propose(prompt, FIRST_TURN, 1)
    assert propose(prompt, FIRST_TURN, 1) != propose(prompt, FIRST_TURN, 2)


def test_hints_are_used() -> None:
    hints = {"styles": ["soft shadows", "neon glow"]}
    for kind in (EditKind.STYLE, EditKind.BEAUTIFY):
        for proposal in propose("a cat in a park", [kind] * 5, hints=hints):
            assert any(word in proposal.target_prompt for word in hints["styles"])


def test_no_template_prevails() -> None:
    proposals = [p for prompt in PROMPTS for seed in range(5)
                 for p in propose(prompt, FIRST_TURN, seed)]  # fmt: skip
    templates = Counter(proposal.template for proposal in proposals)
    assert max(templates.values()) / len(proposals) < 0.1


def test_intent_has_no_style() -> None:
    (proposal,) = propose("a photo of a cat in a park, oil painting, 8k", [EditKind.STYLE])
    assert proposal.intent == "A cat in a park."


def test_a_pair_is_beautified_alike() -> None:
    pair = beautify_pair("a red car at night", "make it blue", "a blue car at night", 1)
    assert pair.raw_prompt is not None
    added = pair.raw_prompt.removeprefix("a red car at night")
    assert added.startswith(", ")
    assert pair.target_prompt == "a blue car at night" + added
    assert pair.kind is EditKind.ATTRIBUTE


def test_long_prompts_do_not_grow_past_the_budget() -> None:
    prompt = "a cat in a park, " + ", ".join(["oil painting"] * 27)
    for proposal in propose(prompt, list(EditKind)):
        assert len(proposal.target_prompt.split()) <= len(prompt.split()) + 4


WORDS = ("a", "the", "of", "with", "and", "in", "red", "cat", "dogs", ",", ".", "(", ")", ":", '"',
         "night", "by", "style")  # fmt: skip
hostile = st.one_of(
    st.text(max_size=300),
    st.sampled_from(
        ["", " ", ".", ",,,,", "😀🎉 кошка на столе", "שלום עולם 🐈", "'; DROP TABLE prompts; --",
         "<script>alert(1)</script>", "((((a:1.2)", "cat, " * 100, "a" * 2_000, "--", "{{7*7}}",
         "“unclosed", "[a|b", "<lora:", "BREAK BREAK", "\x00\x1b[31m", "a\nb\nc", "1 2 3"]
    ),
    st.lists(st.sampled_from(WORDS), max_size=40).map(" ".join),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(hostile, st.sampled_from(list(EditKind)), st.integers(0, 9))
def test_any_text_is_survived(prompt: str, kind: EditKind, seed: int) -> None:
    for proposal in propose(prompt, [kind], seed):
        assert proposal.instruction.strip()
        assert proposal.intent.strip()
        assert proposal.target_prompt != prompt
        assert content_integrity(proposal.units, proposal.target_prompt).score == 1
