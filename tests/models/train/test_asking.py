"""Which questions a step asks."""

import pytest

from models.train.asking import Asker
from models.train.rollout import Question
from schemas.errors import TrainingError
from schemas.units import EditKind
from tests.models.train import toy


def questions(**kinds: int) -> list[Question]:
    return [
        Question(f"{kind}-{i}", "a cat", "do it", "a cat", (), (), kind)
        for kind, count in kinds.items()
        for i in range(count)
    ]


def names(asker: Asker, steps: range) -> list[str]:
    return [question.question_id for step in steps for question in asker.step(step)]


def test_every_question_is_asked_once_an_epoch_in_another_order():
    asker = Asker(questions(add=6), toy.settings(prompts=2))
    first, second = names(asker, range(3)), names(asker, range(3, 6))
    assert sorted(first) == sorted(second) == [f"add-{i}" for i in range(6)]
    assert first != second
    assert names(asker, range(3)) == first


def test_a_short_epoch_asks_the_same_questions_again_step_by_step():
    settings = toy.settings(prompts=4, kind_shares={"beautify": 0.5}, epoch_steps=3)
    asker = Asker(questions(beautify=20, add=20, remove=20), settings)
    first = names(asker, range(3))
    assert len(set(first)) == 12
    assert names(asker, range(3, 6)) == names(asker, range(30, 33)) == first


def test_a_short_epoch_of_few_questions_still_asks_each():
    asker = Asker(questions(add=5), toy.settings(prompts=2, epoch_steps=30))
    assert sorted(set(names(asker, range(3)))) == [f"add-{i}" for i in range(5)]


def test_a_share_is_kept_in_every_step_and_the_rest_is_as_in_the_data():
    settings = toy.settings(prompts=4, kind_shares={"beautify": 0.5})
    asker = Asker(questions(beautify=3, add=8, remove=8), settings, ranks=2)
    for step in range(6):
        kinds = [question.edit_kind for question in asker.step(step)]
        assert kinds.count(EditKind.BEAUTIFY) == 4
        assert len(kinds) == 8
    rest = [name for name in names(asker, range(4)) if not name.startswith("beautify")]
    assert sorted(rest) == sorted(q.question_id for q in questions(add=8, remove=8))


def test_shares_that_leave_nothing_take_the_whole_step():
    settings = toy.settings(prompts=4, kind_shares={"beautify": 0.5, "add": 0.5})
    asked = Asker(questions(beautify=5, add=5, remove=5), settings).step(0)
    assert sorted(question.edit_kind for question in asked) == ["add"] * 2 + ["beautify"] * 2


def test_the_share_of_a_kind_without_rows_goes_to_the_others_and_that_is_said(caplog):
    settings = toy.settings(prompts=4, kind_shares={"beautify": 0.5})
    asked = Asker(questions(add=3, remove=3), settings).step(0)
    assert len(asked) == 4
    assert "no row of the kind 'beautify'" in caplog.text


def test_without_questions_there_is_nothing_to_ask():
    with pytest.raises(TrainingError, match="nothing to train on"):
        Asker([], toy.settings())


def test_shares_beyond_a_whole_step_are_refused():
    with pytest.raises(ValueError, match=r"kind_shares add up to 1\.2"):
        toy.settings(kind_shares={"beautify": 0.6, "add": 0.6})
