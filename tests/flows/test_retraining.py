"""A published version starts a training, the GPU's worker trains, a second time nothing is done.

Real server, two workers, the embedded models, tiny settings.
"""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.prefect_stack import ROOT, down, up
from schemas.identity import raw_prompt_id, split_of
from schemas.settings import WarehouseSettings
from warehouse import Warehouse

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
RENDERS = (ROOT / "models" / "embedded" / "weights" / "tis-sd").is_dir()
PROMPTS = ROOT / "profiles" / "data" / "world_prompts.txt"
TINY = {
    "RENDER__SEEDS": "[0]", "TIS__STEPS": "2", "TEACHER__PROPOSALS": "2",
    "TEACHER__FOLLOW_UP_SHARE": "0.0",
    # Two steps of a text-to-image model decide nothing: whatever was rendered is accepted.
    "DECIDE__CONTENT_MIN_PREFERENCE_GAIN": "-1000.0", "DECIDE__LOOKS_MIN_AESTHETIC_GAIN": "-1000.0",
    "DECIDE__CONTENT_MIN_AESTHETIC_SIGMA": "-1000.0", "PUBLISH__MAX_KIND_SHARE": "1.0",
    "STUDENT__MAX_NEW_TOKENS": "8", "SFT__PARQUET": "[]", "SFT__MAX_STEPS": "1",
    "SFT__MEASURED_CASES": "2", "RL__STEPS": "1", "RL__PROMPTS": "2", "RL__SAMPLES": "4",
    "RL__MINIBATCH": "4", "RL__PARQUET": "[]", "RL__REWARD__CALIBRATION": "4",
    "RL__VALUE_WARMUP_UPDATES": "0",
    "EVALUATION__SEEDS": "[7]", "EVALUATION__TURNS": "2", "EVALUATION__RESAMPLES": "200",
    "PROMOTION__MIN_CASES": "1", "PROMOTION__MIN_INTEGRITY": "0.0", "PROMOTION__NOT_WORSE": "[]",
    "PROMOTION__MAX_OVERFLOW": "1.0", "PROMOTION__MAX_ALARMS": "99",
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Settings of everything that is started: eight prompts to train on, two to test on."""
    chosen: dict[str, list[str]] = {"train": [], "test": []}
    for line in PROMPTS.read_text().splitlines():
        chosen.get(split_of(raw_prompt_id(line)), []).append(line)
    file = tmp_path / "prompts.txt"
    file.write_text("\n".join(chosen["train"][:8] + chosen["test"][:2]) + "\n")
    sources = f'[{{location = "{file}", name = "few", kind = "text", licence = "CC0-1.0"}}]'
    for name, value in (TINY | {"COLLECT__SOURCES": sources}).items():
        monkeypatch.setenv(f"DIFFCHAT_{name}", value)


class Server:
    """The stack that `up` started, and a second worker, on the pool `gpu`."""

    def __init__(self, home: Path, checkout: Path):
        self.home, self.checkout = home, checkout

    def __enter__(self) -> "Server":
        self.api = up(self.home, self.checkout)
        with (self.home / "gpu.log").open("wb") as log:
            self.worker = subprocess.Popen(
                [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gpu", "--type",
                 "process"], cwd=self.checkout, stdout=log, stderr=log,
                env=os.environ | {"PREFECT_API_URL": self.api}, start_new_session=True,
            )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        try:
            down(self.home, self.checkout)
        finally:
            os.killpg(self.worker.pid, signal.SIGKILL)  # it would wait for its server
            self.worker.wait()

    def ask(self, path: str, body: dict | None = None) -> Any:
        answer = httpx.post(f"{self.api}/{path}", json=body or {}, timeout=60)
        return answer.raise_for_status().json()

    def runs(self, flow: str) -> list[dict]:
        """Runs of a flow that were not laid out by a schedule alone."""
        found = self.ask("flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
        return [run for run in found if run["state_type"] != "SCHEDULED"]

    def ended(self, flow: str, seconds: float = 900) -> dict:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for run in self.runs(flow):
                if run["state_type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                    return run
            time.sleep(1)
        raise TimeoutError(f"no run of {flow} ended within {seconds} s\n{self.logs()}")

    def wait_for_run(self, flow: str, seconds: float = 900) -> None:
        """Until a run of the flow is under way and has been heard of."""
        self._until(lambda: any(r["state_type"] == "RUNNING" for r in self.runs(flow)), seconds)
        time.sleep(5)  # the first sign of life is sent as it begins

    def lose_the_gpu(self) -> None:
        """Kill the worker and its runs, as a power cut does: nothing is reported."""
        worker = psutil.Process(self.worker.pid)
        for process in (worker, *worker.children(recursive=True)):
            process.kill()

    def logs(self) -> str:
        paths = (self.home / "prefect" / "worker.log", self.home / "gpu.log")
        return "\n".join(path.read_text()[-5000:] for path in paths)

    def wait_for_gpu(self, seconds: float = 300) -> None:
        def ready() -> bool:
            pools = {pool["name"]: pool["status"] for pool in self.ask("work_pools/filter")}
            return pools["gpu"] == "READY"

        self._until(ready, seconds)

    def _until(self, ready: Callable[[], bool], seconds: float) -> None:
        end = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < end, self.logs()
            time.sleep(0.5)


def run(*words: str) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def look_at_the_schedule(server: Server) -> None:
    body = {"flows": {"name": {"any_": ["retrain"]}}}
    found = {d["name"]: d["schedules"] for d in server.ask("deployments/filter", body)}
    [weekly] = found["embedded"]
    assert (weekly["active"], weekly["schedule"]["cron"]) == (True, "0 5 * * 0")
    assert [found[name][0]["active"] for name in ("paper", "modern")] == [False, False]
    assert found["embedded-on-publish"] == []


@pytest.mark.skipif(not RENDERS, reason="the text-to-image weights are not in this checkout")
def test_a_published_version_is_trained_on_by_the_gpu_worker_and_only_once(
    home, tiny, checkout, monkeypatch
):
    with Server(home, checkout) as server:
        look_at_the_schedule(server)
        server.wait_for_gpu()
        monkeypatch.setenv("PREFECT_API_URL", server.api)
        run(sys.executable, "-m", "prefect", "deployment", "run", "build-instructpe/embedded")
        assert server.ended("build-instructpe")["state_type"] == "COMPLETED", server.logs()
        retrained = server.ended("retrain")
        assert retrained["state_type"] == "COMPLETED", server.logs()
        assert retrained["parameters"] == {"profile": "embedded", "build": False}
        assert retrained["work_pool_name"] == "cpu"
        assert trained(server) == {"train-sft": ["gpu", None], "train-rl": ["gpu", None]}
        again = second_time()
        assert len(server.runs("build-instructpe")) == 1, "a training must not build"
        assert trained(server) == {"train-sft": ["gpu", None, None],
                                   "train-rl": ["gpu", None, None]}  # fmt: skip
    with Warehouse.open(WarehouseSettings(), home, read_only=True) as lake:
        models = lake.query("FROM model_versions ORDER BY trained_at").to_pylist()
        [move] = lake.query("FROM aliases").to_pylist()
        evaluations = lake.query("FROM evaluations").num_rows
    assert [model["method"] for model in models] == ["sft", "ppo"]
    assert (move["model_id"], evaluations) == (models[1]["model_id"], 1)
    assert again["candidate"] == models[1]["model_id"]


@pytest.mark.skipif(not RENDERS, reason="the text-to-image weights are not in this checkout")
def test_a_gpu_worker_that_dies_in_a_training_fails_the_retraining(
    home, tiny, checkout, monkeypatch
):
    """Whoever waits for the run there must hear of it."""
    monkeypatch.setenv("DIFFCHAT_SFT__MAX_STEPS", "1000000")  # it would not end by itself
    monkeypatch.setenv("DIFFCHAT_SFT__EVALUATE_EVERY", "1000000")
    with Server(home, checkout) as server:
        server.wait_for_gpu()
        monkeypatch.setenv("PREFECT_API_URL", server.api)
        run(sys.executable, "-m", "prefect", "deployment", "run", "build-instructpe/embedded")
        server.wait_for_run("train-sft")
        server.lose_the_gpu()
        lost = server.ended("train-sft")
        assert (lost["state_type"], lost["work_pool_name"]) == ("CRASHED", "gpu"), server.logs()
        assert "its worker or its machine is gone" in lost["state"]["message"]
        assert server.ended("retrain")["state_type"] == "FAILED", server.logs()
    with Warehouse.open(WarehouseSettings(), home, read_only=True) as lake:
        assert lake.query("FROM aliases").num_rows == 0, "nothing was promoted"


def trained(server: Server) -> dict[str, list[str | None]]:
    """Where trainings ran, in order: a pool, or None for a step inside another run."""
    found = {}
    for flow in ("train-sft", "train-rl"):
        runs = sorted(server.runs(flow), key=lambda run: run["start_time"])
        assert {run["state_type"] for run in runs} == {"COMPLETED"}
        found[flow] = [run["work_pool_name"] for run in runs]
    return found


def second_time() -> dict:
    """`diffchat retrain` with nothing new: what it says; it must not take long."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(run(sys.executable, "-m", "app.cli", "retrain", "--json"))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(f"second retrain: {result['seconds']} s, {seconds:.1f} s of CPU")
    assert result["worked"] == []
    assert "build" not in result
    # By CPU: on a machine that does other work too, the wall clock measures the other work.
    assert seconds < 30
    return result
