"""`diffchat sft` as a person runs it: once it trains, then there is nothing to do."""

import os
import subprocess
import sys

import pytest

from tests.app.conftest import ROOT, Diffchat
from tests.models.train.miniatures import student
from tests.tasks.test_sft import publish
from tests.warehouse.rows import open_lake

SMALL = (
    "--set", "sft.max_steps=3", "--set", "sft.measured_cases=4",
    "--set", "student.max_new_tokens=4", "--set", "sft.parquet=[]",
)  # fmt: skip


@pytest.fixture
def base(tmp_path):
    return student(tmp_path / "base", context=256)


def test_it_trains_once_in_a_flow(home, diffchat: Diffchat, base):
    with open_lake(home) as lake:
        publish(lake)
    words = ("sft", "--set", f"student.base={base}", *SMALL)
    first = diffchat.run(*words)
    assert "content integrity" in first.stdout
    second = diffchat.json(*words)
    assert second["did"] == "nothing"
    assert "Nothing to do: model" in diffchat.run(*words).stderr
    rows = diffchat.rows("SELECT model_id, folder FROM model_versions")
    assert [row["model_id"] for row in rows] == [second["model_id"]]
    assert (home / rows[0]["folder"] / "README.md").exists()


def test_without_a_version_it_says_what_to_do(diffchat: Diffchat, base):
    out = diffchat.run("sft", "--set", f"student.base={base}", "--set", "sft.parquet=[]", code=3)
    assert "Run `diffchat build`" in out.stderr
    assert "Traceback" not in out.stderr


def test_a_version_that_does_not_exist_and_a_base_that_does_not(home, diffchat: Diffchat, base):
    with open_lake(home) as lake:
        publish(lake)
    out = diffchat.run("sft", "--version", "9", "--set", f"student.base={base}", code=3)
    assert "no dataset version 9; published: 1" in out.stderr
    out = diffchat.run("sft", "--set", "student.base=no/such/folder", code=6)
    assert "no/such/folder" in out.stderr


@pytest.mark.slow
def test_two_processes_train_one_model(home, diffchat: Diffchat, base):
    with open_lake(home) as lake:
        publish(lake)
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    command = [sys.executable, *launch, "-m", "app.cli", "sft", "--set", f"student.base={base}"]
    done = subprocess.run(
        [*command, *SMALL], cwd=ROOT, env=diffchat.environment() | {"PYTHONPATH": os.fspath(ROOT)},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("content integrity") == 1
    assert len(diffchat.rows("FROM model_versions")) == 1
