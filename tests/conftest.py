"""Shared fixtures: every test gets a home of its own, and nothing reaches a hub."""

import glob
import os
import shutil
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


# Programs of Debian packages that some tests want; nothing else of the project needs them.
SYSTEM_PACKAGES = {
    "postgresql": lambda: bool(glob.glob("/usr/lib/postgresql/*/bin/initdb")),
    "chromium": lambda: bool(shutil.which("chromium")),
}
WANTED = "wants the Debian package "


def pytest_collection_modifyitems(items):
    """Skip tests marked `needs_system(package)` where that package is absent."""
    absent = {name for name, there in SYSTEM_PACKAGES.items() if not there()}
    for item in items:
        for mark in item.iter_markers("needs_system"):
            if mark.args[0] in absent:
                item.add_marker(pytest.mark.skip(reason=f"{WANTED}{mark.args[0]}"))


def pytest_terminal_summary(terminalreporter):
    """Say what was skipped for want of a system package, and how to get it."""
    wanted = {
        str(report.longrepr[2]).partition(WANTED)[2]
        for report in terminalreporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple) and WANTED in str(report.longrepr[2])
    }
    if wanted:
        names = " ".join(sorted(wanted))
        terminalreporter.write_line(
            f"Tests were skipped for want of: {names}. Get them with: apt-get install {names}",
            yellow=True,
        )
