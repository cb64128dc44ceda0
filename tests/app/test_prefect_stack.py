"""`up` and `down` where something is in the way; the way through is tests/flows/test_deployment."""

import json
import os
import socket
import subprocess
import sys
import time
import tomllib

import psutil
import pytest
import yaml

from app import prefect_api, prefect_stack
from app.prefect_stack import down, up
from schemas.errors import StackError


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    return folder


def write_state(home, pid: int, born: str | None) -> None:
    folder = home / "prefect"
    folder.mkdir()
    state = {
        "api": "http://127.0.0.1:1/api",
        "processes": {"server": {"pid": pid, "born": born}, "worker": {"pid": pid, "born": born}},
    }
    (folder / "stack.json").write_text(json.dumps(state))


def test_a_taken_port_is_named(home, root):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=str(port)):
            up(home, root, port)
    assert list(root.iterdir()) == []


def test_a_prefect_toml_of_somebody_else_is_left_alone(home, root):
    (root / "prefect.toml").write_text('[api]\nurl = "https://my.server/api"\n')
    with pytest.raises(StackError, match="not ours"):
        up(home, root)
    down(home, root)
    assert "my.server" in (root / "prefect.toml").read_text()


def test_a_stack_of_another_home_in_this_folder_is_named(home, root, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_state(other, os.getpid(), prefect_stack._born(os.getpid()))
    prefect_stack._write_toml(root, other / "prefect", "http://127.0.0.1:1/api")
    with pytest.raises(StackError, match=str(other)):
        up(home, root)


def test_down_never_stops_a_process_that_took_over_the_number(home, root):
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        write_state(home, bystander.pid, "12345")
        down(home, root)
        assert bystander.poll() is None
        assert not (home / "prefect" / "stack.json").exists()
    finally:
        bystander.kill()
        bystander.communicate()


def test_down_is_quiet_where_nothing_is_up(home, root, capsys):
    down(home, root)
    down(home, root)
    assert capsys.readouterr().err == "nothing is up\nnothing is up\n"


def test_an_unreadable_state_says_what_to_do(home, root):
    (home / "prefect").mkdir()
    (home / "prefect" / "stack.json").write_text("{")
    with pytest.raises(StackError, match="delete it"):
        up(home, root)


def test_a_server_that_ends_at_once_is_reported_with_its_log(home, root, monkeypatch):
    monkeypatch.setattr(
        prefect_stack, "_prefect", lambda _: [sys.executable, "-c", "raise SystemExit('no disk')"]
    )
    with pytest.raises(StackError, match="no disk"):
        up(home, root)
    assert not (home / "prefect" / "stack.json").exists()
    assert not (root / "prefect.toml").exists()


def test_what_a_stopped_process_has_started_ends_with_it(tmp_path):
    """Also a child that leads a session of its own, as the flow runs of a worker do."""
    said = tmp_path / "child"
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        f"open({str(said)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    leader = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    worker = {"pid": leader.pid, "born": prefect_stack._born(leader.pid)}
    end = time.monotonic() + 60
    while not (said.exists() and said.read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    child = psutil.Process(int(said.read_text()))
    prefect_stack._stop({"processes": {"worker": worker}}, "worker")
    leader.wait(10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_every_run_says_that_it_lives_well_before_it_counts_as_dead(home, root):
    """In this process, by hand from this folder, and on a worker of another machine."""
    often = prefect_api.HEARTBEAT_S
    assert 3 * often <= prefect_api.SILENT_S
    variable = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"
    assert prefect_stack._quiet(home)[variable] == str(often)
    prefect_stack._write_toml(root, home / "prefect", "http://127.0.0.1:1/api")
    settings = tomllib.loads((root / "prefect.toml").read_text())
    assert settings["flows"] == {"heartbeat_frequency": often}
    deployed = yaml.safe_load((prefect_stack.ROOT / "prefect.yaml").read_text())["deployments"]
    pools = [deployment["work_pool"] for deployment in deployed]
    assert all(
        pool["job_variables"]["env"] == {variable: str(often)}
        for pool in pools
        if pool["name"] == "gpu"
    )
