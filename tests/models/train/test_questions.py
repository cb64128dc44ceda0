"""Questions that cannot be asked are left out, and counted by reason."""

from types import SimpleNamespace

import pytest

from models.train.questions import fitting, questions_of
from schemas.errors import SourceError
from tests.models.train import toy
from tests.models.train.test_data import row


def test_what_does_not_fit_context_or_pictures_is_left_out():
    first, second, third = toy.questions()[:3]
    long = second._replace(messages=({"role": "user", "content": "red car " * 40},))
    unseen = third._replace(raw_prompt="car " * 20)
    words = toy.policy(0)
    for context, kept in ((64, [first]), (None, [first, long])):
        policy = SimpleNamespace(tokenizer=words.tokenizer, context=context)
        found = fitting([first, long, unseen], policy, 8, lambda text: len(text.split()), 16)
        assert found.questions == kept
        assert found.left_out == {"context": 2 - len(kept), "token_budget": 1}


def test_an_answer_needs_room_in_the_context():
    words = toy.policy(0)
    question = toy.questions()[0]
    policy = SimpleNamespace(tokenizer=words.tokenizer, context=64)
    count = {"count_tokens": len, "token_budget": 99}
    assert fitting([question], policy, 8, **count).questions
    assert not fitting([question], policy, 62, **count).questions


def test_a_row_of_a_file_may_lack_units_but_no_intent():
    whole = row("7", "a cat", "make it night", "a cat at night") | {"intent": "a cat at night"}
    (question,) = questions_of([whole | {"units": None}], {})
    assert question.units == ()
    with pytest.raises(SourceError, match="triple '7' has no intent"):
        questions_of([whole | {"intent": None}], {})
