"""Miniature checkpoints, built once a test process."""

import pytest


@pytest.fixture(scope="session")
def sd15(tmp_path_factory):
    """A Stable Diffusion 1.x folder with random weights."""
    pytest.importorskip("torch")
    from tests.models.tis import miniatures

    return miniatures.sd15(tmp_path_factory.mktemp("sd15"))
