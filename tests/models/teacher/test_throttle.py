"""The throttle is cut by a fifth of overloaded answers in a second, and by nothing less."""

import pytest

from models.teacher import throttle
from models.teacher.throttle import Throttle


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(throttle.time, "monotonic", lambda: now[0])
    return now


def second(held: Throttle, clock: list[float], answers: int, overloaded: int) -> int:
    """The limit after a second with so many answers."""
    for index in range(answers):
        held.note(index < overloaded)
    clock[0] += 1.0
    held.note(False)  # the first answer of the next second judges the one before
    clock[0] += 1.0
    held.note(False)
    return held.limit


@pytest.mark.parametrize("answers", [10, 100, 320])
def test_a_fifth_is_borne_and_more_is_not(clock, answers):
    held = Throttle(64)
    assert second(held, clock, answers, answers // 5) == 64
    clock[0] += 5
    assert second(held, clock, answers, answers // 5 + 1) < 64


def test_a_single_429_changes_nothing(clock):
    held = Throttle(64)
    assert second(held, clock, 1, 1) == 64


def test_it_recovers(clock):
    held = Throttle(64)
    second(held, clock, 10, 10)
    low = held.limit
    for _ in range(20):
        second(held, clock, 10, 0)
    assert low < 64 == held.limit


def test_it_never_stops(clock):
    held = Throttle(4)
    for _ in range(20):
        for _ in range(9):
            held.note(True)
        clock[0] += 1
    assert held.limit == 1
