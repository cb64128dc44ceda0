"""Turns reach the warehouse only with consent, and from there the next build."""

import pyarrow.compute as pc
import pytest

from app.consent import ConsentedTurns
from app.transfer import run_import
from app.turns import better, edit, start, variations
from schemas.errors import SourceError
from schemas.settings import load_settings
from warehouse import Warehouse


@pytest.fixture
def settings():
    return load_settings("embedded")


@pytest.fixture
def spoken(talk, session):
    session = talk(start, session, "a red car at night")
    session = talk(edit, session, "make it blue")
    return talk(variations, talk(better, session), 1)


def test_nothing_is_stored_without_consent(spoken, settings, home):
    assert ConsentedTurns(settings, home).keep(spoken, 0) == 0
    assert not Warehouse.exists(settings.warehouse, home)


def test_given_turns_become_triples_of_the_next_build(spoken, settings, home, capsys):
    given = ConsentedTurns(settings, home)
    consented = spoken.model_copy(update={"consent": True})
    assert given.keep(consented, 0) == 2  # the edit and the better one, no start, no variation
    assert given.keep(consented, 0) == 0  # twice is once
    given.close()
    run_import(settings, ["chat"], "unknown", None, as_json=True)
    with Warehouse.open(settings.warehouse, home, read_only=True) as lake:
        stored = lake.query("SELECT * FROM chat_turns ORDER BY number")
        triples = lake.query("SELECT * FROM triples ORDER BY instruction")
        licences = lake.query("SELECT DISTINCT licence FROM occurrences").column(0).to_pylist()
    assert triples.column("target_prompt").to_pylist() == [
        "a blue car at night", "a blue car at night, soft shadows, fine detail"]  # fmt: skip
    assert licences == [settings.chat.licence]
    assert not pc.any(pc.equal(stored.column("session_id"), spoken.session_id)).as_py()


def test_importing_what_nobody_gave_says_so(settings):
    with pytest.raises(SourceError, match="ticking the box"):
        run_import(settings, ["chat"], "unknown", None, as_json=True)
