"""Kill the build at any moment: run it again, and the result is as if nothing had happened."""

import json
import os
import random
import signal
import time
from collections.abc import Sequence

import pytest

from tests.app.conftest import Diffchat

pytestmark = pytest.mark.timeout(900)

VERSION = "FROM instructpe ORDER BY triple_id"
DECISIONS = """
SELECT triple_id, accepted, reason, aesthetic_gain, preference_gain FROM decisions
WHERE decision_set_id = (SELECT max_by(decision_set_id, version) FROM dataset_versions)
ORDER BY triple_id
"""
PAID = """
SELECT count(*) AS answers, count(DISTINCT call_id) AS calls
FROM teacher_calls WHERE status = 'ok'
"""
GAINS = ("aesthetic_gain", "preference_gain")


def kill(process) -> None:
    """SIGKILL to the build and all its children, as a machine that loses power would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def same_but_for_rounding(left: list[dict], right: list[dict]) -> None:
    """Ids, texts and decisions equal exactly, gains within 1e-3."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        for name, value in one.items():
            if name in GAINS and value is not None:
                assert value == pytest.approx(other[name], abs=1e-3)
            elif name not in ("version", "decision_set_id"):
                assert value == other[name], name


def crash(diffchat: Diffchat, words: Sequence[str], whole_s: float, rng: random.Random) -> bool:
    """Start a command that takes `whole_s` and kill it on the way; False if it ended before."""
    process = diffchat.start(*words)
    time.sleep(rng.uniform(0.05, 0.95) * whole_s)
    if process.poll() is None:
        kill(process)
        return True
    process.communicate()
    return False


def crash_and_recover(diffchat: Diffchat, kills: int, seed: int) -> None:
    """Build with `kills` crashes spread over its duration, then to the end; compare."""
    rng = random.Random(seed)
    reference = Diffchat(diffchat.home.parent / "reference", diffchat.profile)
    started = time.monotonic()
    reference.run("build")
    whole_s = time.monotonic() - started

    for _ in range(kills):
        crash(diffchat, ["build"], whole_s, rng)
    diffchat.run("build")

    same_but_for_rounding(diffchat.rows(VERSION), reference.rows(VERSION))
    same_but_for_rounding(diffchat.rows(DECISIONS), reference.rows(DECISIONS))
    paid = diffchat.rows(PAID)[0]
    assert paid["answers"] == paid["calls"], "an answer was committed twice"
    again = json.loads(diffchat.run("build", "--json").stdout)
    assert again["did"] == "nothing"


def test_three_kills_change_nothing(diffchat):
    crash_and_recover(diffchat, kills=3, seed=20240306)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_fifty_kills_change_nothing(diffchat):
    crash_and_recover(diffchat, kills=50, seed=7)


def test_two_builds_at_once_do_nothing_twice(diffchat):
    both = [diffchat.start("build") for _ in range(2)]
    ends = [process.communicate(timeout=280) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    paid = diffchat.rows(PAID)[0]
    assert paid["answers"] == paid["calls"] > 0
    for table, key in {
        "renders": "render_id",
        "scores": "score_id",
        "triples": "triple_id",
    }.items():
        counts = diffchat.rows(f"SELECT count(*) AS n, count(DISTINCT {key}) AS ids FROM {table}")[
            0
        ]
        assert counts["n"] == counts["ids"] > 0, table
