"""Shared fixtures: every test gets a home of its own, and nothing reaches a hub."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A fresh `$DIFFCHAT_HOME` for each test."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("DIFFCHAT_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def public_data() -> Path:
    """Folder of real prompts kept beside the checkout; the test skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public prompt files are not beside this checkout")
    return SHARED_DATA
