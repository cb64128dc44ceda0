"""What tests with a real Prefect server share."""

import pytest

from app.prefect_stack import ROOT


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like this checkout, so that a stack of the developer's is not in the way.

    Its `prefect.toml` is its own; all else is linked.
    """
    folder = tmp_path / "checkout"
    folder.mkdir()
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("prefect.toml", "var"):
            (folder / entry.name).symlink_to(entry)
    return folder
