"""Drawings: deterministic, laid out by the seed alone, and changed by every word."""

import numpy as np
import pytest

from models.world.draw import STYLES, draw_scene, object_mask
from models.world.scene import Group, Scene
from models.world.vocabulary import COLOURS, FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS
from schemas.errors import ModelError

BASE = Scene((Group("cat", "orange"),), "meadow", "day")


def _differ(one: Scene, other: Scene, seed: int = 3) -> float:
    """Mean absolute difference in grey levels."""
    return float(np.abs(draw_scene(one, seed).astype(int) - draw_scene(other, seed)).mean())


def test_same_scene_seed_and_style_are_the_same_pixels() -> None:
    assert np.array_equal(draw_scene(BASE, 3), draw_scene(BASE, 3))
    assert not np.array_equal(draw_scene(BASE, 3), draw_scene(BASE, 4))
    assert not np.array_equal(draw_scene(BASE, 3), draw_scene(BASE, 3, "papercut"))


@pytest.mark.parametrize("word", FINISHES)
def test_every_finish_is_visible(word: str) -> None:
    assert _differ(BASE, Scene(BASE.groups, "meadow", "day", finishes=(word,))) > 0.5


@pytest.mark.parametrize("word", FLAWS)
def test_every_flaw_is_visible(word: str) -> None:
    assert _differ(BASE, Scene(BASE.groups, "meadow", "day", flaws=(word,))) > 3


def test_every_content_word_is_visible() -> None:
    pictures = [draw_scene(Scene((Group(k, "red"),), "sea", "day"), 1) for k in KINDS]
    pictures += [draw_scene(Scene((Group("cat", c),), "desert", "night"), 1) for c in COLOURS]
    pictures += [draw_scene(Scene((Group("car", "white"),), p, "day"), 1) for p in PLACES]
    pictures += [draw_scene(Scene((Group("bird", "red"),), "city", t), 1) for t in TIMES]
    pictures += [draw_scene(Scene(BASE.groups, "sea", "sunset", w), 1) for w in WEATHERS]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_an_edit_of_the_colour_leaves_the_backdrop_alone() -> None:
    other = Scene((Group("cat", "blue"),), "meadow", "day")
    outside = object_mask(BASE, 3) == 0
    assert np.array_equal(draw_scene(BASE, 3)[outside], draw_scene(other, 3)[outside])


def test_objects_do_not_move_with_place_or_finish() -> None:
    after = Scene(BASE.groups, "city", "night", finishes=("fine detail", "neon glow"))
    assert np.abs(object_mask(BASE, 3) - object_mask(after, 3)).mean() < 0.01


@pytest.mark.parametrize("style", STYLES)
def test_pictures_are_64_pixels_of_rgb(style: str) -> None:
    picture = draw_scene(Scene((Group("star"), Group("fish", "pink", 2))), 9, style)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8


def test_unknown_style_is_refused() -> None:
    with pytest.raises(ModelError, match="crayon"):
        draw_scene(BASE, 0, "crayon")
