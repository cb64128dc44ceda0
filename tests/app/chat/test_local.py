"""A turn on the shipped models: a miniature student writes, the embedded model draws."""

import threading

import pytest
from PIL import Image

from app.from_image import describe_upload
from app.parts import Workshop
from app.session import Session
from app.store import ChatStore
from app.turns import Step, Watch, edit, rewrite, start
from schemas.chat import messages_of
from schemas.errors import Cancelled, ChatError, ModelError
from schemas.settings import load_settings
from tests.app.chat.test_pictures import png
from tests.models.train.miniatures import student


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    folder = student(tmp_path_factory.mktemp("student"), context=512)
    home = tmp_path_factory.mktemp("home")
    settings = load_settings("embedded", {"chat.model": str(folder), "student.device": "cpu"})
    return Workshop(settings, home, ChatStore(home))


def last(steps) -> Session:
    *_, session = steps
    return session


def test_a_local_model_writes_and_the_picture_is_drawn_once(workshop):
    parts = workshop.parts()
    session = last(start(workshop.store.new(), "a (red car:1.1) at night", parts))
    path = workshop.store.picture(session.now.render_id)
    with Image.open(path) as picture:
        assert picture.size == (64, 64)
    assert set(session.now.scores) == {"aesthetics", "preference", "alignment"}
    drawn = path.stat().st_mtime_ns
    again = last(start(workshop.store.new(), "a (red car:1.1) at night", parts))
    assert again.now.render_id == session.now.render_id
    assert path.stat().st_mtime_ns == drawn
    # The student's weights are random: whatever it says, the syntax stays and the budget holds.
    turn = last(edit(session, "make it blue", parts)).now
    assert "(red car:1.1)" in turn.prompt
    assert parts.count_tokens(turn.prompt) <= parts.token_budget
    assert turn.model == workshop.settings.chat.model


def test_other_words_of_a_local_model_follow_the_seed(workshop):
    sample = workshop.parts().sample
    asked = messages_of("a cat", "make it night")
    first = list(sample(asked, 4, 1))
    assert first == list(sample(asked, 4, 1))
    assert first != list(sample(asked, 4, 2))
    assert len(set(first)) > 1


def test_a_local_model_without_memory_says_so_and_writes_again_later(workshop, monkeypatch):
    parts = workshop.parts()
    session = last(start(workshop.store.new(), "a blue boat at sea", parts))
    policy = workshop._policy(workshop.model_name)

    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(policy.model, "forward", full)
        with pytest.raises(ModelError, match="Out of memory while writing the prompt"):
            last(edit(session, "make it red", parts))
    assert any(
        isinstance(step, Step) and step.text for step in rewrite(session, "make it red", parts)
    )


def test_drawing_says_its_steps_and_can_be_stopped(workshop):
    parts, heard, stop = workshop.parts(), [], threading.Event()

    def on_step(done, of):
        heard.append((done, of))
        stop.set()

    session = workshop.store.new()
    with pytest.raises(Cancelled):
        list(start(session, "a white star in outer space", parts, Watch(on_step, stop.is_set)))
    assert heard == [(1, 6)]
    assert last(start(session, "a white star in outer space", parts)).now.render_id


def test_a_plain_picture_is_described_in_the_vocabulary(workshop):
    found = describe_upload(png((64, 64)), workshop)
    assert found.source == "the captioner (interrogator)"
    assert found.prompt


def test_a_model_that_is_not_there_is_named(workshop):
    with pytest.raises(ModelError, match="nothing has been trained"):
        workshop.student_folder("0123abcd")
    with pytest.raises(ChatError, match="tis_models"):
        workshop.parts(tis_model="/etc")
