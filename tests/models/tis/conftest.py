"""Miniature checkpoints, built once a test process, on demand."""

import pytest

from tests.models.tis import families, miniatures

BUILDERS = {
    "sd15": miniatures.sd15,
    "sdxl": families.sdxl,
    "sd3": families.sd3,
    "flux": families.flux,
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
