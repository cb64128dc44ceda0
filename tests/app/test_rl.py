"""`diffchat rl` as a person runs it, and as a machine that loses power leaves it."""

import random
import time
from pathlib import Path

import pytest

from app import train
from app.commands import models
from models.weights import sha256
from tests.app.conftest import Diffchat
from tests.app.test_crash import crash
from tests.tasks.test_rl import SMALL, open_lake, publish, run_of
from tests.tasks.test_rl import student as student  # a fixture

STEPS = 24
# Not compared: seconds, and how many pictures were found, which depends on what was made before.
LOG = """
SELECT step, term, value FROM training_log
WHERE NOT (term LIKE 'seconds%' OR term LIKE 'pictures%') ORDER BY ALL
"""
SAMPLES = "SELECT step, sample, row_kind, prompt, reward, images FROM training_samples ORDER BY ALL"


def words(student: Path) -> list[str]:
    """Of `diffchat rl` on the least that goes through every part."""
    chosen = SMALL | {"rl.steps": STEPS, "rl.checkpoint_every": 2}
    sets = [f"{name}={value}" for name, value in chosen.items()]
    return ["rl", "--parent", str(student), *(word for each in sets for word in ("--set", each))]


def trained(home: Path) -> tuple:
    """What a training leaves: its weights, its log and its samples."""
    with open_lake(run_of(home)) as lake:
        (row,) = lake.query("SELECT folder, status FROM model_versions").to_pylist()
        log, samples = (lake.query(each).to_pylist() for each in (LOG, SAMPLES))
    assert row["status"] == "ok"
    assert len({entry["step"] for entry in log}) == STEPS
    assert samples
    return sha256(home / row["folder"] / "model.safetensors"), log, samples


def test_options_are_settings(monkeypatch):
    said = []
    monkeypatch.setattr(train, "run_rl", lambda *words: said.append(words))
    models.rl("latest", "embedded", version=2, seed=5, override=["rl.seed=4", "rl.steps=9"])
    changes = {"rl.seed": 5, "rl.steps": 9, "rl.dataset_version": 2}
    assert said == [("embedded", changes, "latest", False)]


def test_a_version_that_does_not_exist(diffchat, student):
    with open_lake(run_of(diffchat.home)) as lake:
        publish(lake)
    out = diffchat.run(*words(student), "--version", "9", code=3)
    assert "no dataset version 9; published: 1" in out.stderr


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_at_any_moment_change_no_number(diffchat, student):
    reference = Diffchat(diffchat.home.parent / "reference", diffchat.profile)
    for each in (diffchat, reference):
        with open_lake(run_of(each.home)) as lake:
            publish(lake)
    started = time.monotonic()
    reference.run(*words(student))
    whole_s, rng, kills = time.monotonic() - started, random.Random(7), 0
    while crash(diffchat, words(student), whole_s, rng):
        kills += 1
    assert kills >= 3, "it was hardly killed"
    diffchat.run(*words(student))
    assert trained(diffchat.home) == trained(reference.home)
    assert diffchat.json(*words(student))["did"] == "nothing"
