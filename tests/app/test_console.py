"""What is said of progress at a terminal and to a log."""

import pytest

from app import console
from tasks.progress import stage


@pytest.fixture
def always(monkeypatch):
    """A line of every piece of progress, where a log gets one a minute."""
    monkeypatch.setattr(console, "LINE_EVERY_S", -1.0)


def said_before_the_end(capsys) -> list[str]:
    with console.progress_bars(True), stage("render", 2_000) as advance:
        advance(1_500)
        said = capsys.readouterr().err
    return said.splitlines()


def test_a_log_says_how_far_a_stage_is_before_its_end(capsys, always):
    lines = said_before_the_end(capsys)
    assert "0:00:00 render 1,500 of 2,000 images" in lines


def test_a_short_run_says_nothing_between(capsys):
    assert said_before_the_end(capsys) == []


def test_a_terminal_has_its_bars_alone(capsys, always, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes rich take it for a terminal
    lines = said_before_the_end(capsys)
    assert not any("0:00:00 render 1,500" in line for line in lines)
