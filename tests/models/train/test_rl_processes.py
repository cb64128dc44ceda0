"""Several processes train one policy: weights stay equal, whatever each of them sampled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.timeout(280)
def test_two_processes_hold_the_same_weights_and_take_the_same_decisions(tmp_path):
    # On CPUs accelerate launches several processes by MPI only; torchrun sets the same variables.
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    launch += ["-m", "tests.models.train.two_processes", str(tmp_path)]
    done = subprocess.run(
        launch, cwd=ROOT, capture_output=True, text=True, timeout=270, env=os.environ
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"rank-{i}.json").read_text()) for i in range(2))
    assert first["status"] == "ok"
    assert first == second
    assert first["together"] == [0, 1, 1], "what is whitened by: the rows of all"
    assert (tmp_path / "run" / "last").read_text() == "step-000003"
