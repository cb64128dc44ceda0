"""Miniature scorers, built once a test process, and a few pictures."""

import numpy as np
import pytest
from PIL import Image

from tests.models.scorers import miniatures


@pytest.fixture(scope="session")
def pictures():
    """Five pictures of several sizes, smooth so that resizing does not decide everything."""
    rng = np.random.default_rng(0)
    sizes = [(64, 64), (64, 64), (48, 80), (100, 40), (32, 32)]
    coarse = [rng.integers(0, 256, (4, 4, 3), dtype=np.uint8) for _ in sizes]
    return [Image.fromarray(c).resize(s, 3) for c, s in zip(coarse, sizes, strict=True)]


@pytest.fixture(scope="session")
def intents():
    return ["a red fox", "a cat in the snow", "a red fox", "blue car", "the house at night"]


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    return miniatures.clip(tmp_path_factory.mktemp("scorers") / "clip")


@pytest.fixture(scope="session")
def siglip(tmp_path_factory):
    return miniatures.siglip(tmp_path_factory.mktemp("scorers") / "siglip")


@pytest.fixture(scope="session")
def hpsv2(tmp_path_factory):
    return miniatures.hpsv2(tmp_path_factory.mktemp("scorers") / "clip-vit-h")


@pytest.fixture(scope="session")
def image_reward(tmp_path_factory):
    return miniatures.image_reward(tmp_path_factory.mktemp("scorers") / "bert")


@pytest.fixture(scope="session")
def llava(tmp_path_factory):
    return miniatures.llava(tmp_path_factory.mktemp("scorers") / "llava")
