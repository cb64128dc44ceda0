"""Scenes: what is refused, what the seed fills in, what stays unseen."""

import random

import pytest

from models.world.scene import (
    Group,
    Scene,
    is_unseen_combination,
    resolve,
    sample_scene,
)
from models.world.vocabulary import FINISHES
from schemas.errors import ModelError


def test_words_outside_the_world_are_named() -> None:
    with pytest.raises(ModelError, match="zeppelin"):
        Group("zeppelin")
    with pytest.raises(ModelError, match="moon"):
        Scene((Group("cat"),), place="moon")


def test_too_many_objects_are_refused() -> None:
    with pytest.raises(ModelError, match="more than 3"):
        Scene((Group("cat", "red", 2), Group("car", "blue", 2)))


def test_an_edit_leaves_the_unsaid_as_it_was() -> None:
    before = Scene((Group("cat"), Group("car", "red")))
    after = Scene((Group("cat"), Group("car", "blue")), time="night", finishes=("neon glow",))
    for seed in range(30):
        one, other = resolve(before, seed), resolve(after, seed)
        assert one.groups[0] == other.groups[0]
        assert one.place == other.place


def test_unseen_combinations_can_be_kept_out_or_asked_for() -> None:
    generator = random.Random(0)
    seen = [sample_scene(generator) for _ in range(300)]
    assert not any(is_unseen_combination(scene) for scene in seen)
    assert is_unseen_combination(sample_scene(generator, unseen=True))


def test_samples_cover_every_finish() -> None:
    generator = random.Random(1)
    said = {word for _ in range(400) for word in sample_scene(generator).finishes}
    assert said == set(FINISHES)
