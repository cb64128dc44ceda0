"""A small profile on the shipped models, and the command line as a person runs it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import prefect_stack

ROOT = Path(__file__).resolve().parents[2]
PROMPTS = [
    "a red house in a meadow",
    "two blue birds at sunset",
    "a cat",
    "green car on a city street at night",
    "a boat at sea in the fog",
    "three yellow stars in outer space",
    "a purple flower",
    "white mushroom, meadow",
]


class Diffchat:
    """`diffchat …` in a process of its own, with a home of its own."""

    def __init__(self, home: Path, profile: Path):
        self.home, self.profile = home, profile
        self.run_by: list[str] = []  # a program that runs the command

    def environment(self) -> dict[str, str]:
        return os.environ | {"DIFFCHAT_HOME": str(self.home), "DIFFCHAT_PROFILE": str(self.profile)}

    def start(self, *words: str) -> subprocess.Popen:
        command = [*self.run_by, sys.executable, "-m", "app.cli", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(), stdout=pipe, stderr=pipe, text=True,
            start_new_session=True,
        )  # fmt: skip

    def run(self, *words: str, code: int | None = 0) -> subprocess.CompletedProcess:
        process = self.start(*words)
        out, err = process.communicate(timeout=280)
        if code is not None:
            assert process.returncode == code, f"exit {process.returncode}\n{out}\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: str):
        return json.loads(self.run(*words, "--json").stdout)

    def rows(self, query: str, *words: str) -> list[dict]:
        return self.json("sql", query, *words)["rows"]


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory) -> str:
    """One Prefect server for all commands, each of which would start its own: 7 s of CPU.

    Servers of their own are tested in `tests/flows/test_deployment.py`.
    """
    port = prefect_stack._free_port(0)
    api = f"http://127.0.0.1:{port}/api"
    server, log = prefect_stack._start_temporary(tmp_path_factory.mktemp("prefect"), port)
    prefect_stack._wait_healthy(api, log, lambda: server.poll() is None)
    return api


@pytest.fixture(scope="module")
def shared_prefect(prefect_api) -> Iterator[None]:
    """The commands of this module use that server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", prefect_api)
        yield


@pytest.fixture
def prompts_file(tmp_path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text("\n".join(PROMPTS) + "\n")
    return path


@pytest.fixture
def diffchat(home, tmp_path, prompts_file, shared_prefect) -> Diffchat:
    """The embedded profile with eight prompts, so that a build takes seconds."""
    text = (ROOT / "profiles" / "embedded.toml").read_text()
    head, _, rest = text.partition("sources = [")
    rest = rest.partition("]\n")[2]
    source = f'sources = [{{ location = "{prompts_file}", licence = "CC0-1.0" }}]\n'
    profile = tmp_path / "small.toml"
    profile.write_text(head + source + rest)
    return Diffchat(home, profile)
