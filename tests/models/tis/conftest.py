"""Miniature checkpoints, built once a test process, on demand."""

from functools import partial

import pytest

from tests.models.tis import families, miniatures

BUILDERS = {
    "sd15": miniatures.sd15,
    "sd21": partial(miniatures.sd15, second=True),
    "sdxl": families.sdxl,
    "sd3": families.sd3,
    "sd3_without_t5": partial(families.sd3, with_t5=False),
    "flux": families.flux,
    "flux_schnell": partial(families.flux, schnell=True),
    "pixart_sigma": families.pixart_sigma,
    "qwen_image": families.qwen_image,
}


@pytest.fixture(scope="session")
def family(tmp_path_factory):
    """A function from a family's name to the folder of its miniature."""
    built = {}

    def build(name):
        if name not in built:
            built[name] = BUILDERS[name](tmp_path_factory.mktemp(name) / name)
        return built[name]

    return build


@pytest.fixture(scope="session")
def sd15(family):
    """A Stable Diffusion 1.x folder with random weights."""
    return family("sd15")
