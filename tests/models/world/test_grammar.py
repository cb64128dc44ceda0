"""What can be seen in worded scenes and edits, over thousands of random ones."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from models.world.edits import HARD_UNITS, sample_edit, sample_hard_edit
from models.world.grammar import (
    Voice,
    intent_of,
    raw_prompts,
    sample_raw_prompt,
    sample_voice,
    say,
)
from models.world.scene import Group, Scene, is_unseen_combination, sample_scene
from models.world.vocabulary import FINISHES, FLAWS
from schemas.units import EditKind

PROMPTS = Path(__file__).parents[3] / "profiles" / "data" / "world_prompts.txt"


def test_units_stand_literally_in_the_prompt():
    generator = random.Random(1)
    for _ in range(1000):
        worded = say(sample_scene(generator), sample_voice(generator))
        assert all(unit in worded.text.lower() for unit in worded.units.values()), worded


def test_one_voice_says_the_same_scene_in_the_same_words():
    scene = Scene((Group("cat", "red", 2),), "city", "night", finishes=("neon glow",))
    assert say(scene, Voice(5)) == say(scene, Voice(5))
    assert len({say(scene, sample_voice(random.Random(k))).text for k in range(60)}) > 30


@pytest.mark.parametrize("kind", list(EditKind))
def test_units_agree_with_both_prompts(kind: EditKind):
    generator = random.Random(2)
    for _ in range(200):
        example = sample_edit(generator, kind)
        raw, target = example.raw_prompt.lower(), example.target_prompt.lower()
        assert raw != target
        assert example.kind is kind
        for unit in example.units:
            assert (unit.text in raw) or unit.role == "add", (unit, example)
            assert (unit.text in target) or unit.role == "remove", (unit, example)


def test_edits_keep_held_out_combinations_out():
    generator = random.Random(3)
    for _ in range(500):
        example = sample_edit(generator)
        assert not is_unseen_combination(example.before)
        assert not is_unseen_combination(example.after)


def test_hard_split_is_hard():
    generator = random.Random(4)
    examples = [sample_hard_edit(generator) for _ in range(200)]
    for example in examples:
        assert sum(unit.role != "keep" for unit in example.units) >= HARD_UNITS
        assert any(unit.role == "remove" for unit in example.units)
    unseen = sum(is_unseen_combination(e.before) or is_unseen_combination(e.after)
                 for e in examples)  # fmt: skip
    assert 60 < unseen < 140


def test_instructions_are_varied():
    generator = random.Random(5)
    for kind in EditKind:
        texts = {sample_edit(generator, kind).instruction for _ in range(200)}
        assert len(texts) > 110, kind


def test_follow_up_edits_the_target_of_an_earlier_turn():
    example = sample_edit(random.Random(6), EditKind.FOLLOW_UP)
    assert example.earlier is not None
    assert example.earlier[0] != example.raw_prompt


def test_intents_name_no_finish():
    generator = random.Random(7)
    tags = [*FINISHES, *FLAWS]
    for _ in range(300):
        intent = intent_of(sample_scene(generator, finish=1, flaw=1)).lower()
        assert not any(f" {tag}" in intent for tag in tags), intent


def test_raw_prompts_are_short():
    generator = random.Random(8)
    lengths = [len(sample_raw_prompt(generator)[0].split()) for _ in range(1000)]
    assert sum(lengths) / len(lengths) < 9


def test_committed_prompts_are_what_the_generator_writes():
    assert PROMPTS.read_text().splitlines() == raw_prompts(1500, seed=7)


def test_command_line_writes_prompts():
    command = [sys.executable, "-m", "models.world.grammar", "5", "--unseen"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(set(done.stdout.splitlines())) == 5
