"""The way of a user: up, `prefect deployment run`, wait, look, down; a real server and worker."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.prefect_stack import ROOT, down, in_process_environment, up
from tasks.artifacts import AUDIT_KEY, EXAMPLES_KEY, FUNNEL_KEY, PUBLISHED

pytestmark = [pytest.mark.xdist_group("deployment"), pytest.mark.timeout(1800)]

PREFECT = [sys.executable, "-m", "prefect"]
# Without its text-to-image weights a checkout builds without pictures.
RENDERS = (ROOT / "models" / "embedded" / "weights" / "tis-sd").is_dir()
SMALL = json.dumps({"collect.limit": 6, "render.enabled": RENDERS})
LARGE = json.dumps({"collect.limit": 300, "render.enabled": RENDERS})  # minutes: to be stopped in


def as_a_user(checkout: Path, *arguments: str) -> str:
    """Run the prefect command in the checkout; nothing in the environment helps it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "DIFF"))}
    done = subprocess.run(
        [*PREFECT, *arguments],
        cwd=checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ask(api: str, path: str, body: dict | None = None) -> Any:
    return httpx.post(f"{api}/{path}", json=body or {}, timeout=60).raise_for_status().json()


# Other flows have deployments and schedules of their own.
BUILDS = {"flows": {"name": {"any_": ["build-instructpe"]}}}


def finished_run(api: str, seconds: float = 1200) -> dict:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        [run] = [
            r for r in ask(api, "flow_runs/filter", BUILDS) if r["state_type"] != "SCHEDULED"
        ] or [{}]
        if run.get("state_type") in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
            return run
        time.sleep(1)
    raise TimeoutError(f"no run ended within {seconds} s")


def wait_until_running(api: str, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    body = BUILDS | {"flow_runs": {"state": {"type": {"any_": ["RUNNING"]}}}}
    while not ask(api, "flow_runs/filter", body):
        assert time.monotonic() < end, "no run started"
        time.sleep(0.2)


def states_of_runs(home: Path) -> set[str]:
    """From the database: the server is down."""
    with sqlite3.connect(home / "prefect" / "prefect.db") as database:
        return {row[0] for row in database.execute("SELECT state_type FROM flow_run")}


def nightly_runs(api: str, seconds: float = 120) -> list[dict]:
    """Runs that the scheduler has laid out; it looks at the deployments once a minute."""
    end = time.monotonic() + seconds
    body = BUILDS | {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    while not (runs := ask(api, "flow_runs/filter", body)) and time.monotonic() < end:
        time.sleep(1)
    return runs


def published_events(api: str, seconds: float = 60) -> list[dict]:
    """Events reach the database some seconds after they are emitted."""
    end = time.monotonic() + seconds
    body = {"filter": {"event": {"name": [PUBLISHED]}}}
    while not (events := ask(api, "events/filter", body)["events"]) and time.monotonic() < end:
        time.sleep(1)
    return events


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that work in `home`, this one left out."""
    mark = f"DIFFCHAT_HOME={home.resolve()}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def look_at_the_stack(api: str) -> None:
    assert {pool["name"] for pool in ask(api, "work_pools/filter")} == {"cpu", "gpu"}
    limits = {limit["name"]: limit for limit in ask(api, "v2/concurrency_limits/filter")}
    assert limits["teacher"]["active"]
    assert limits["teacher"]["limit"] > 0
    rules = {rule["name"]: rule for rule in ask(api, "automations/filter")}
    assert rules["end runs whose machine is gone"]["enabled"]
    deployments = ask(api, "deployments/filter", BUILDS)
    schedules = {d["name"]: [s["active"] for s in d["schedules"]] for d in deployments}
    assert schedules == {"embedded": [True], "paper": [False], "modern": [False]}


def look_at_the_run(api: str, log: Path) -> None:
    run = finished_run(api)
    assert run["state_type"] == "COMPLETED", log.read_text()[-6000:]
    artifacts = {artifact["key"]: artifact for artifact in ask(api, "artifacts/filter")}
    assert {FUNNEL_KEY, AUDIT_KEY} <= set(artifacts)
    if RENDERS:
        assert "data:image/webp;base64," in artifacts[EXAMPLES_KEY]["data"]
    [event] = published_events(api)
    assert event["resource"]["prefect.resource.id"] == "instructpe.version.1"
    assert event["payload"]["rows"] > 0


def test_up_run_down(home, checkout):
    """One test, because a server takes its time to start: everything between up and down."""
    run = ["deployment", "run", "build-instructpe/embedded", "--param"]
    api = up(home, checkout)
    try:
        look_at_the_stack(api)
        # What this build publishes would start a training on the same worker.
        as_a_user(checkout, "deployment", "delete", "retrain/embedded-on-publish")
        as_a_user(checkout, *run, f"overrides={SMALL}")
        look_at_the_run(api, home / "prefect" / "worker.log")
        assert {run["expected_start_time"][11:16] for run in nightly_runs(api)} == {"03:00"}
        assert up(home, checkout) == api  # again: the same server, the same worker
        assert len([p for p in processes_of(home) if "worker start" in p]) == 1
        as_a_user(checkout, *run, f"overrides={LARGE}")
        wait_until_running(api)
    finally:
        down(home, checkout)
    assert processes_of(home) == []
    assert states_of_runs(home) == {"COMPLETED", "CRASHED", "SCHEDULED"}
    assert not (checkout / "prefect.toml").exists()


def test_a_flow_in_this_process_leaves_no_server_behind(home, tmp_path):
    """Also after `kill -9`, and says nothing on the terminal."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from app.prefect_stack import in_process_environment\n"
        "home = Path(os.environ['DIFFCHAT_HOME'])\n"
        "os.environ.update(in_process_environment(home))\n"
        "from prefect import flow, task\n"
        "@task\n"
        "def one(i): return i\n"
        "@flow\n"
        "def some(): return sum(one(i) for i in range(5))\n"
        "assert some() == 10\n"
        "if sys.argv[1] == 'killed': os.kill(os.getpid(), 9)\n"
    )
    for way, expected in (("ended", 0), ("killed", -9)):
        done = subprocess.run(
            [sys.executable, "-c", code, way],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (expected, "", "")
        end = time.monotonic() + 20
        while processes_of(home) and time.monotonic() < end:
            time.sleep(0.2)
        assert processes_of(home) == []
        assert [p for p in (home / "prefect").glob("build-*") if p.is_dir()] == []


def test_a_server_of_the_users_own_is_used_as_it_is(home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    assert "PREFECT_API_URL" not in in_process_environment(home)
