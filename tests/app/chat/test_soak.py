"""Slow: ten sessions at once, and memory over two hundred turns, on the embedded models.

An endpoint by rule writes where the words must be known; the embedded language model where what it
leaves behind is the question.
"""

import gc
import os
import statistics
import threading
import time

import pytest

from app.consent import ConsentedTurns
from app.parts import Workshop
from app.store import ChatStore
from app.web.actions import OUTPUTS, Actions
from schemas.settings import load_settings
from tests.app.chat.fakes import COLOURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3_000)]


def actions_of(home, **changes) -> Actions:
    settings = load_settings("embedded", {"chat.turns_a_minute": 100_000} | changes)
    workshop = Workshop(settings, home, ChatStore(home))
    workshop.warm()
    return Actions(workshop, ConsentedTurns(settings, home))


@pytest.fixture
def actions(fake_endpoint, home):
    """Written by rule, so that what each session must read is known."""
    return actions_of(home, **{"chat.endpoint.base_url": fake_endpoint.base_url})


@pytest.fixture
def local(home):
    """Written by the embedded language model."""
    return actions_of(home, **{"chat.model": "base"})


def say(actions: Actions, session_id: str, text: str) -> dict:
    tis, model = actions.workshop.settings.tis.model, actions.workshop.model_name
    session_id = session_id or actions.store.new().session_id  # as a page that has opened
    *_, shown = actions.send(session_id, text, model, tis, 0, True, "", False)
    return dict(zip(OUTPUTS, shown, strict=True))


def resident_mb() -> float:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_ten_sessions_at_once_keep_their_turns_apart(actions):
    took: list[float] = []
    ends: dict[int, dict] = {}

    def converse(number: int) -> None:
        shown = say(actions, "", f"a white car number {number}")
        for turn in range(4):
            began = time.monotonic()
            shown = say(actions, shown["session_id"], f"add a star {number}-{turn}")
            took.append(time.monotonic() - began)
        ends[number] = shown

    threads = [threading.Thread(target=converse, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({shown["session_id"] for shown in ends.values()}) == 10
    for number, shown in ends.items():
        session = actions.store.get(shown["session_id"])
        wanted = "".join(f", a star {number}-{turn}" for turn in range(4))
        assert session.now.prompt == f"a white car number {number}{wanted}"
    print(f"median turn of ten at once: {statistics.median(took):.2f} s")
    assert statistics.median(took) < 10


def test_ten_sessions_at_once_read_what_each_would_alone(local):
    """The local model and its cache are shared: greedy answers and pictures must not be."""

    def converse(number: int, ends: dict[int, list]) -> None:
        shown = say(local, "", f"a {COLOURS[number % 8]} car, star {number}")
        for instruction in ("make it blue", "add a moon"):
            shown = say(local, shown["session_id"], instruction)
        session = local.store.get(shown["session_id"])
        ends[number] = [(turn.prompt, turn.render_id) for turn in session.turns]

    together: dict[int, list] = {}
    threads = [threading.Thread(target=converse, args=(n, together)) for n in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone: dict[int, list] = {}
    for number in range(10):
        converse(number, alone)
    assert together == alone
    assert all(render for turns in alone.values() for _, render in turns)


def test_memory_does_not_grow_from_turn_50_to_200(local):
    session_id, at_50 = "", 0.0
    for turn in range(200):
        if turn % 20 == 0:  # people begin anew; what they leave behind must not stay in memory
            session_id = say(local, "", f"a red car {turn}")["session_id"]
        else:
            say(local, session_id, f"make it {COLOURS[turn % len(COLOURS)]}")
        if turn == 49:
            at_50 = resident_mb()
    grown = resident_mb() / at_50 - 1
    print(f"resident at turn 50: {at_50:.0f} MB, growth to turn 200: {grown:.1%}")
    assert grown < 0.05
