"""Rendering and scoring of rows: what is drawn, written, read and scored is what was asked for."""

import errno

import numpy as np
import pytest
from PIL import Image

from models.scorers import ScorerIdentity
from schemas.errors import ModelError, WarehouseError
from schemas.settings import ScorerSettings, TisSettings
from tasks import rendering, scoring


class FakeTis:
    """A picture in the colour that a prompt names by number; "broken" fails its whole batch."""

    batch = 4

    def __init__(self):
        self.batches: list[int] = []

    def render(self, prompts, seeds):
        self.batches.append(len(prompts))
        if "broken" in prompts:
            raise ModelError("this prompt breaks the model")
        return [
            Image.new("RGB", (4, 4), (int(p), s, 0)) for p, s in zip(prompts, seeds, strict=True)
        ]


@pytest.fixture
def tis(monkeypatch):
    fake = FakeTis()
    monkeypatch.setattr(rendering, "loaded_tis", lambda settings: fake)
    return fake


def wanted(prompts, seed=0):
    return [{"prompt": prompt, "seed": seed, "attempt": 1} for prompt in prompts]


def render(lake, prompts, advance=None):
    return rendering.render_rows(lake, TisSettings(model="fake"), "tis", wanted(prompts), advance)


def test_every_row_has_its_own_picture_in_the_order_asked(lake, tis):
    steps: list[int] = []
    made = render(lake, [str(n) for n in range(10)], steps.append)
    assert (tis.batches, steps) == ([4, 4, 2], [4, 4, 2])
    assert [row["prompt"] for row in made] == [str(n) for n in range(10)]
    for row in made:
        picture = scoring.opened(lake, row["image_sha256"])
        assert picture.getpixel((0, 0)) == (int(row["prompt"]), 0, 0)
    assert lake.query("SELECT count(*) FROM renders").column(0)[0].as_py() == 10


def test_a_prompt_that_breaks_its_batch_is_a_row_and_harms_no_other(lake, tis):
    made = {row["prompt"]: row for row in render(lake, ["1", "2", "broken", "3", "4"])}
    assert made["broken"]["status"] == "failed"
    assert "breaks the model" in made["broken"]["error"]
    assert made["broken"]["image_sha256"] is None
    assert [made[p]["status"] for p in ("1", "2", "3", "4")] == ["ok"] * 4


def test_a_picture_that_cannot_be_written_stops_the_shard_before_its_commit(lake, tis, monkeypatch):
    def full(name, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lake.images._files, "write", full)
    with pytest.raises(WarehouseError, match="the disk is full"):
        render(lake, [str(n) for n in range(10)])
    assert lake.query("SELECT count(*) FROM renders").column(0)[0].as_py() == 0
    assert len(tis.batches) <= 2, "no more than the batch that was under way"


class FakeScorer:
    reads_intent = False

    def score(self, pictures, intents):
        return np.array([picture.getpixel((0, 0))[0] for picture in pictures], dtype=float)


@pytest.mark.parametrize("count", [1, 3, 6, 7])
def test_pictures_are_read_ahead_and_scored_as_themselves(lake, tis, monkeypatch, count):
    monkeypatch.setattr(scoring, "IMAGES", 3)
    monkeypatch.setattr(scoring, "loaded_scorer", lambda settings: FakeScorer())
    made = render(lake, [str(n) for n in range(count)])
    identity = ScorerIdentity("fake", "", 1, False, "fake", "aesthetics")
    asked = [row | {"scorer_id": "fake", "intent": None, "attempt": 1} for row in made]
    asked.append(asked[0] | {"render_id": "gone", "image_sha256": "0" * 64})
    settings = ScorerSettings(name="fake", model="fake", measures="aesthetics")
    scored = scoring.score_rows(lake, [settings], [identity], asked)
    values = {row["render_id"]: row["value"] for row in scored}
    assert [values[row["render_id"]] for row in made] == [float(n) for n in range(count)]
    [gone] = [row for row in scored if row["render_id"] == "gone"]
    assert (gone["status"], gone["value"]) == ("failed", None)
    assert "is missing" in gone["error"]
