"""Action sets, checked token by token on a vocabulary of 32 words."""

import numpy as np
import pytest

from models.train.adm import ActionSpace, Vocabulary, build_trie, nucleus, variants
from schemas.training import AdmSettings
from schemas.units import Unit
from tests.models.train import toy

TOKENIZER = toy.tokenizer()
VOCABULARY = Vocabulary(TOKENIZER, 32)
EOS = TOKENIZER.eos_token_id
UNIFORM = np.full(32, 1 / 32)
ADM = AdmSettings(epsilon=0.2, continuation=0.9)


def word(text: str) -> int:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"][0]


def space(*units: Unit, budget: int = 8, blocked: frozenset[int] = frozenset(), adm=ADM):
    return ActionSpace(units, VOCABULARY, adm, budget, blocked)


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


def test_a_hard_negative_never_completes_its_blocked_unit_and_counts_what_that_costs():
    units = (Unit("add", "blue car"), Unit("keep", "red tree"))
    actions = space(*units, blocked=frozenset({0}))
    say(actions, "blue")
    sure = np.full(32, 0.05 / 31)
    sure[word("car")] = 0.95
    law = actions.modify(sure, sure)
    assert law[word("car")] == 0
    assert law.sum() == pytest.approx(1, abs=1e-12)
    assert actions.kept == pytest.approx(0.05)
    assert actions.dropped


def test_hard_negatives_may_end_and_are_not_pushed_towards_anything():
    actions = space(Unit("add", "blue car"), blocked=frozenset({0}))
    assert np.allclose(actions.modify(UNIFORM, UNIFORM), UNIFORM)
    assert not actions.dropped


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
    blocked = frozenset({int(generator.integers(2))}) if seed % 2 else frozenset()
    actions = space(*units, blocked=blocked)
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
