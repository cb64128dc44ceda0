"""The taste has the structure that reinforcement learning is to find."""

import random
from dataclasses import replace

from models.world.scene import Group, Scene, sample_scene
from models.world.taste import headroom, taste
from models.world.vocabulary import FLAWS


def test_neon_helps_a_city_at_night_and_hurts_a_meadow_at_noon() -> None:
    car = (Group("car", "red"),)
    night = Scene(car, "city", "night", finishes=("neon glow",))
    noon = Scene(car, "meadow", "day", finishes=("neon glow",))
    assert taste(night) > 0 > taste(noon)


def test_every_flaw_hurts_every_scene() -> None:
    generator = random.Random(2)
    for _ in range(50):
        scene = sample_scene(generator, flaw=0)
        for flaw in FLAWS:
            assert taste(replace(scene, flaws=(flaw,))) < taste(scene)


def test_order_of_words_does_not_matter() -> None:
    words = ("vivid colors", "pastel tones", "fine detail")
    scene = Scene((Group("tree", "green"),), "sea", "day")
    one, other = (replace(scene, finishes=w) for w in (words, words[::-1]))
    assert taste(one) == taste(other)


def test_there_is_something_to_find_and_stuffing_does_not_find_it() -> None:
    generator = random.Random(5)
    scenes = [sample_scene(generator, finish=0, flaw=0) for _ in range(40)]
    gain = headroom(scenes)
    assert gain["none"] == 0
    assert gain["all"] < -1
    assert gain["constant"] <= 0.5 * gain["oracle"]
    assert gain["blind"] <= 0.5 * gain["oracle"]
