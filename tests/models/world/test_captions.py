"""Captions say the scene, in many wordings."""

import random

from models.world.captions import caption
from models.world.scene import Group, Scene
from models.world.vocabulary import COLOURS, FINISHES, KINDS, PLACES

SCENE = Scene((Group("balloon", "red", 2),), "sea", "night", finishes=("neon glow",))


def _some(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)


def test_a_caption_says_everything_the_scene_says() -> None:
    for seed in range(100):
        text = caption(SCENE, random.Random(seed))
        assert _some(KINDS["balloon"].plurals, text), text
        assert _some(COLOURS["red"].words, text), text
        assert _some(PLACES["sea"].words, text), text
        assert _some(FINISHES["neon glow"].words, text), text


def test_captions_vary_and_are_lower_case() -> None:
    texts = {caption(SCENE, random.Random(seed)) for seed in range(100)}
    assert len(texts) > 80
    assert all(text == text.lower() for text in texts)


def test_articles_agree() -> None:
    scene = Scene((Group("fish", "orange"),))
    texts = {caption(scene, random.Random(seed), fillers=0) for seed in range(60)}
    assert not any("a orange" in text for text in texts)
