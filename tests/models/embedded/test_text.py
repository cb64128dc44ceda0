"""The tokenizer knows the world's words and takes any other."""

import json

import pytest

from models.embedded.text import MAX_TOKENS, build_tokenizer, facts
from models.embedded.training import WEIGHTS
from models.world.scene import Group, Scene
from models.world.vocabulary import COLOURS, FINISHES, KINDS


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


def test_it_is_the_one_that_ships(tokenizer) -> None:
    """Numbers and all: a training that goes on, or starts warm, reads the same words."""
    shipped = json.loads((WEIGHTS / "tis-sd" / "tokenizer" / "tokenizer.json").read_text())
    assert tokenizer.get_vocab() == shipped["model"]["vocab"]


def test_words_of_the_world_are_single_tokens(tokenizer) -> None:
    for concept in (*KINDS.values(), *COLOURS.values(), *FINISHES.values()):
        for word in concept.words[0].split():
            assert tokenizer.tokenize(word) == [f"{word}</w>"]


def test_other_words_fall_into_known_pieces(tokenizer) -> None:
    pieces = tokenizer.tokenize("xylophone Ünïcode 猫")
    assert len(pieces) > 3
    assert tokenizer.unk_token not in pieces


def test_the_longest_prompt_fits(tokenizer) -> None:
    words = ", ".join(max(c.words, key=len) for c in FINISHES.values())
    text = f"a pair of red cars and a pink hot air balloon on a city street at night, {words}"
    assert len(tokenizer(text).input_ids) <= MAX_TOKENS


def test_facts_name_both_groups() -> None:
    one = facts(Scene((Group("car", "red"), Group("cat", None, 2)), "sea", None))
    assert one[:8] == [2, 1, 1, 3, 0, 2, 5, 0]
