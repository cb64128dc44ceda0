"""Action sets, checked token by token on a vocabulary of 32 words."""

from pathlib import Path

import numpy as np
import pytest

from models.train.adm import ActionSpace, Vocabulary, build_trie, nucleus, variants
from schemas.training import AdmSettings
from schemas.units import Unit
from tests.models.train import toy

WEIGHTS = Path("models/embedded/weights")
TOKENIZER = toy.tokenizer()
EOS = TOKENIZER.eos_token_id
VOCABULARY = Vocabulary(TOKENIZER, 32, (EOS,))
UNIFORM = np.full(32, 1 / 32)
ADM = AdmSettings(epsilon=0.2, continuation=0.9)


def word(text: str) -> int:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"][0]


def space(
    *units: Unit, budget: int = 8, candidates: tuple[int, ...] | None = None, most=1, adm=ADM
):
    return ActionSpace(units, VOCABULARY, adm, budget, candidates, most)


def say(actions: ActionSpace, *words: str) -> None:
    for text in words:
        actions.modify(UNIFORM, UNIFORM)
        actions.advance(word(text))


def test_a_missing_unit_is_begun_with_probability_epsilon():
    actions = space(Unit("add", "blue car"), Unit("keep", "red tree"))
    law = actions.modify(UNIFORM, UNIFORM)
    # 30 words share 0.8 (the end is masked: units are missing); each first word adds 0.1.
    assert law[EOS] == 0
    assert law[word("blue")] == pytest.approx(0.8 / 31 + 0.1)
    assert law[word("red")] == pytest.approx(0.8 / 31 + 0.1)
    assert law[word("car")] == pytest.approx(0.8 / 31)
    assert law.sum() == pytest.approx(1, abs=1e-12)


def test_every_end_is_masked_while_units_are_missing_and_counts_as_the_wish_to_end():
    """A model that ends with either of two tokens, .3 likely each: together it would have ended."""
    other = word("leaf")
    actions = ActionSpace(
        (Unit("add", "blue car"),), Vocabulary(TOKENIZER, 32, (EOS, other)), ADM, 8
    )
    policy = np.full(32, 0.4 / 30)
    policy[[EOS, other]] = 0.3
    actions.advance(word("fog"))
    law = actions.modify(policy, policy)
    assert law[EOS] == law[other] == 0
    assert law[word("blue")] > 0.9, "where it would have ended, what is missing is begun"


def test_a_begun_unit_goes_on_with_probability_continuation():
    actions = space(Unit("add", "blue car"), Unit("keep", "red tree"))
    say(actions, "fog", "blue")
    law = actions.modify(UNIFORM, UNIFORM)
    assert law[word("car")] == pytest.approx(0.1 / 31 + 0.9)
    assert law[word("tree")] == pytest.approx(0.1 / 31)
    actions.advance(word("car"))
    law = actions.modify(UNIFORM, UNIFORM)  # the other unit is now the only one missing
    assert law[word("red")] == pytest.approx(0.8 / 31 + 0.2)
    assert law[word("blue")] == pytest.approx(0.8 / 31)


def test_the_end_is_free_once_nothing_is_missing_or_the_budget_does_not_hold_the_rest():
    actions = space(Unit("add", "blue car"))
    say(actions, "blue", "car")
    law = actions.modify(UNIFORM, UNIFORM)
    assert np.allclose(law, UNIFORM)
    late = space(Unit("add", "blue car"), budget=4)
    assert late.modify(UNIFORM, UNIFORM)[EOS] == 0
    say(late, "fog", "fog")  # two words and an end no longer fit into two
    assert late.modify(UNIFORM, UNIFORM)[EOS] > 0


def test_only_the_word_that_completes_a_forbidden_unit_is_masked():
    actions = space(Unit("remove", "red house"))
    assert actions.modify(UNIFORM, UNIFORM)[word("house")] > 0
    say(actions, "red")
    law = actions.modify(UNIFORM, UNIFORM)
    assert law[word("house")] == 0
    assert law[word("boat")] == pytest.approx(1 / 31)


def test_a_forbidden_word_may_stand_inside_a_wanted_unit():
    actions = space(Unit("remove", "car"), Unit("add", "blue car"))
    assert actions.modify(UNIFORM, UNIFORM)[word("car")] == 0
    say(actions, "blue")
    assert actions.modify(UNIFORM, UNIFORM)[word("car")] > 0.9


def test_a_hard_negative_never_completes_what_it_blocked():
    units = (Unit("add", "blue car"), Unit("keep", "red tree"))
    actions = space(*units, candidates=(0, 1))
    say(actions, "blue")
    law = actions.modify(UNIFORM, UNIFORM)
    assert law[word("car")] == 0
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert law[word("tree")] == pytest.approx(1 / 31)
    assert actions.blocked == {0}
    say(actions, "fog", "red")
    assert actions.modify(UNIFORM, UNIFORM)[word("tree")] == pytest.approx(1 / 32), "one at most"


def test_what_the_policy_is_sure_to_say_is_not_blocked():
    """Such a row would be so far from the policy that it teaches nothing."""
    actions = space(Unit("add", "blue car"), candidates=(0,))
    say(actions, "blue")
    sure = np.full(32, 0.05 / 31)
    sure[word("car")] = 0.95
    assert actions.modify(sure, sure)[word("car")] == pytest.approx(0.95)
    assert not actions.blocked
    unsure = np.full(32, 0.3 / 31)
    unsure[word("car")] = 0.7
    assert actions.modify(unsure, unsure)[word("car")] == 0


def test_hard_negatives_may_end_and_are_not_pushed_towards_anything():
    actions = space(Unit("add", "blue car"), candidates=(0,))
    assert np.allclose(actions.modify(UNIFORM, UNIFORM), UNIFORM)


def test_a_unit_is_begun_only_where_the_policy_finds_it_possible_or_would_have_ended():
    actions = space(Unit("add", "blue car"))
    say(actions, "fog")
    never = np.full(32, 1 / 31)
    never[word("blue")] = 0.0
    assert actions.modify(never, never)[word("blue")] == 0
    ending = never * 0.3
    ending[EOS] = 0.7
    assert actions.modify(ending, ending)[word("blue")] == pytest.approx(0.9)


def test_what_is_begun_follows_the_policy_among_what_is_missing():
    units = (Unit("add", "blue car"), Unit("keep", "red tree"))
    policy = np.full(32, 0.96 / 30)
    policy[word("blue")], policy[word("red")] = 0.03, 0.01
    for choice, shares in (("policy", (0.15, 0.05)), ("uniform", (0.1, 0.1))):
        actions = space(*units, adm=ADM.model_copy(update={"choice": choice}))
        law = actions.modify(policy, policy)
        left = 1 - policy[EOS]
        assert law[word("blue")] == pytest.approx(0.8 * 0.03 / left + shares[0])
        assert law[word("red")] == pytest.approx(0.8 * 0.01 / left + shares[1])


def test_where_masks_leave_nothing_of_the_nucleus_the_policy_itself_is_read():
    actions = space(Unit("add", "blue car"), adm=AdmSettings(epsilon=0.0))
    only_end = np.zeros(32)
    only_end[EOS] = 1.0
    law = actions.modify(only_end, UNIFORM)
    assert law[EOS] == 0
    assert np.allclose(law[law > 0], 1 / 31)
    law = actions.modify(only_end, only_end)  # not even the policy has anything else
    assert law[word("blue")] == 1


@pytest.mark.parametrize("seed", range(20))
def test_every_modified_distribution_sums_to_one(seed):
    generator = np.random.default_rng(seed)
    units = (Unit("add", "blue car"), Unit("keep", "red tree"), Unit("remove", "white boat"))
    actions = space(*units, candidates=(0, 1) if seed % 2 else None)  # a positive row
    assert actions.positive == (seed % 2 == 0)
    for _ in range(8):
        policy = generator.dirichlet(np.full(32, 0.1))
        law = actions.modify(nucleus(policy[None], 0.9)[0], policy)
        assert law.min() >= 0
        assert law.sum() == pytest.approx(1, abs=1e-9)
        actions.advance(int(generator.choice(32, p=law / law.sum())))


def test_the_nucleus_is_the_smallest_set_that_reaches_its_mass():
    law = nucleus(np.array([[0.5, 0.3, 0.15, 0.05], [0.25, 0.25, 0.25, 0.25]]), 0.8)
    assert np.allclose(law[0], [0.625, 0.375, 0, 0])
    assert np.allclose(law[1], 0.25)


def test_tries_share_beginnings_and_know_where_units_end():
    root = build_trie([(0, [1, 2]), (1, [1, 3, 4]), (2, [])])
    assert list(root.children) == [1]
    assert root.children[1].units == {0, 1}
    assert root.children[1].children[2].ends == {0}
    assert root.children[1].children[3].children[4].ends == {1}


def test_variants_are_wordings_that_the_integrity_rule_accepts():
    assert {"blue car", "blue cars"} <= set(variants("blue car"))
    assert {"city", "cities"} <= set(variants("city"))
    assert variants("no people") == ("no people",) or "no people" in variants("no people")


def test_word_borders_are_seen_in_byte_level_pieces():
    """Their mark of a space is a letter to Python: "Ġblue" begins a word, "er" goes on with one."""
    pre = ["Ġblue", "Ġcar", "er", ",", "Ċ", "</s>", "▁boat", "Ġ,"]

    class Pieces:
        all_special_ids, eos_token_id, unk_token_id = [5], 5, None

        def __len__(self):
            return len(pre)

        def convert_ids_to_tokens(self, ids):
            return [pre[i] for i in ids]

    words = Vocabulary(Pieces(), 10, (5,))
    begins = [piece for piece, yes in zip(pre, words.begins_V, strict=False) if yes]
    assert begins == ["Ġblue", "Ġcar", ",", "Ċ", "</s>", "▁boat", "Ġ,"]
    starts = [piece for piece, yes in zip(pre, words.words_V, strict=False) if yes]
    assert starts == ["Ġblue", "Ġcar", "▁boat"]


def test_the_embedded_student_is_made_to_say_what_is_missing():
    """The shipped tokenizer: inside a sentence, behind a comma, where it would have ended."""
    from models.train.policy import load_student_tokenizer

    tokenizer = load_student_tokenizer(WEIGHTS / "lm")
    vocabulary = Vocabulary(tokenizer, len(tokenizer), (tokenizer.eos_token_id,))
    units = (Unit("keep", "red house"), Unit("add", "blue car"))
    actions = ActionSpace(units, vocabulary, ADM, 32)

    def law(**shares):
        policy = np.full(len(tokenizer), 1e-6)
        for text, share in shares.items():
            policy[ids(text.replace("_", " "))[0]] = share
        return policy / policy.sum()

    def ids(text):
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    for token in ids("a red house"):
        actions.advance(token)
    policy = law(**{",": 0.3, "</s>": 0.7})
    changed = actions.modify(policy, policy)
    assert changed[tokenizer.eos_token_id] == 0
    assert changed[ids(",")[0]] > 0.99, "a unit was forced in where a comma belongs"
    actions.advance(ids(",")[0])
    policy = law(_golden=0.9, _blue=0.01)
    changed = actions.modify(policy, policy)
    assert changed[ids(" blue")[0]] > 0.89, "the answer was over: now what is missing"
    actions.advance(ids(" blue")[0])
    policy = law(_golden=0.9, _car=0.01, _cars=0.001)
    assert actions.modify(policy, policy)[ids(" car")[0]] > 0.8


def test_a_hard_negative_with_nothing_to_block_is_no_positive():
    """Its question wants nothing that could be kept unsaid: the nucleus stays as it is."""
    law = space(Unit("remove", "red tree"), candidates=()).modify(UNIFORM, UNIFORM)
    assert np.allclose(law, UNIFORM)
