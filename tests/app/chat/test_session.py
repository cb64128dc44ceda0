"""The tree of turns: what undo, branch, jump and the seed do, and what a file keeps."""

import pytest

from app.session import MAX_TURNS, Session, load
from app.turns import better, edit, start, variations
from schemas.errors import ChatError


@pytest.fixture
def five(talk, session):
    """start – blue – +moon, and back at blue: +star."""
    session = talk(start, session, "a red car at night")
    session = talk(edit, session, "make it blue")
    session = talk(edit, session, "add a moon")
    session = session.undo()
    return talk(edit, session, "add a star")


def prompts(session: Session) -> list[str]:
    return [turn.prompt for turn in session.path()]


def test_a_turn_after_undo_is_a_branch_and_nothing_is_lost(five):
    assert prompts(five) == ["a red car at night", "a blue car at night",
                             "a blue car at night, a star"]  # fmt: skip
    branches = [turn.prompt for turn in five.children(1)]
    assert branches == ["a blue car at night, a moon", "a blue car at night, a star"]
    assert prompts(five.jump(2))[-1] == "a blue car at night, a moon"


def test_undo_at_the_start_and_a_jump_to_nowhere_say_so(five):
    with pytest.raises(ChatError, match="nothing to undo"):
        five.jump(0).undo()
    with pytest.raises(ChatError, match="no turn 10"):
        five.jump(9)
    with pytest.raises(ChatError, match="nothing to redo"):
        five.redo()


def test_redo_goes_to_the_newest_child(five):
    assert five.undo().redo().current == five.current


def test_with_the_seed_locked_only_the_words_change(five, talk):
    assert {turn.seed for turn in five.turns} == {7}
    free = five.with_seed(7, locked=False)
    free = talk(edit, talk(edit, free, "make it red"), "make it green")
    assert len({turn.seed for turn in free.turns[-2:]} | {7}) == 3


def test_an_unlocked_seed_is_the_same_in_the_same_place(session, talk):
    free = session.with_seed(7, locked=False)
    assert talk(start, free, "a cat").turns[0].seed == talk(start, free, "a dog").turns[0].seed


def test_variations_have_the_same_words_and_other_seeds(five, talk):
    varied = talk(variations, five, 3)
    made = varied.children(five.current)
    assert {turn.prompt for turn in made} == {five.now.prompt}
    assert len({turn.seed for turn in made} | {7}) == 4
    chosen = varied.jump(made[0].number)
    assert talk(edit, chosen, "make it red").now.seed == made[0].seed  # one goes on with its seed


def test_what_is_put_to_the_model_is_the_path_without_variations(five, talk):
    varied = talk(variations, five, 1)
    assert varied.asked(1) == five.asked(1)
    raw, history = five.asked(1)
    assert raw == "a blue car at night"
    assert [turn.instruction for turn in history] == ["add a star"]
    assert five.asked(0) == ("a blue car at night, a star", ())
    assert five.asked(9)[0] == "a red car at night"


def test_a_saved_session_is_the_same_session(five, talk):
    again = load(five.save())
    assert again == five
    assert talk(better, again).now.prompt == talk(better, five).now.prompt


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[:-20], "no session file"),
        (lambda text: "[]", "no session file"),
        (lambda text: text.replace('"parent": 0', '"parent": 3', 1), "out of place"),
        (lambda text: text.replace('"current": 3', '"current": 99'), "damaged"),
        (lambda text: text.replace('"render_id": "', '"render_id": "../', 1), "render_id"),
        (lambda text: text.replace('"consent"', '"evil"'), "evil"),
    ],
)
def test_a_damaged_file_is_refused_in_words(five, change, said):
    broken = change(five.save())
    assert broken != five.save()
    with pytest.raises(ChatError, match=said):
        load(broken)


def test_a_session_is_bounded(five):
    full = five.model_copy(update={"turns": five.turns[:1] * MAX_TURNS, "current": 0})
    with pytest.raises(ChatError, match="start a new one"):
        full.add(five.turns[0])
