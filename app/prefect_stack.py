"""Prefect on this machine: `make up` and `make down`, and the server behind `diffchat build`.

`up` starts a dedicated server and a worker in the background, creates the work pools, the limit on
the teacher and the rule that ends runs whose machine is gone, deploys every deployment of
`prefect.yaml`, and writes `prefect.toml`, so that plain `prefect deployment run
build-instructpe/embedded` finds the server from this folder.
`down` stops what `up` started and nothing else.  Everything lies in `$DIFFCHAT_HOME/prefect`:
database, logs, and `stack.json`, which says what runs.

Leaves out: a worker for the pool `gpu`, which belongs on the machine with the GPU
(`prefect worker start --pool gpu` there), and anything that imports Prefect: this module speaks
to it by command line and by HTTP (`app.prefect_api`).
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from app import prefect_api
from app.console import note
from schemas.errors import StackError
from schemas.settings import PROFILES, load_settings

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_PORT = 4200  # Prefect's own
START_TIMEOUT_S = 600  # a new database takes 15 s of CPU, of which a busy machine gives little
STOP_TIMEOUT_S = 20


def up(home: Path, root: Path = ROOT, port: int | None = None) -> str:
    """Start server, pools, limit, deployments and a worker; returns the API's address.

    Does nothing but deploy again where all of it runs already.  `port` None takes 4200, or a free
    one where that is taken.  Raises StackError that names the log to read; what had been started
    until then is stopped again.
    """
    folder = _folder(home)
    state = _read_state(folder)
    if state and not _alive(state, "server"):
        down(home, root)  # what a crash or a reboot left behind
        state = None
    _refuse_foreign(root, folder)
    api = state["api"] if state else f"http://127.0.0.1:{_free_port(port)}/api"
    state = state or {"api": api, "processes": {}}
    environment = os.environ | _quiet(home) | {"PREFECT_API_URL": api}
    try:
        if "server" not in state["processes"]:
            note(f"starting a Prefect server on {api.removesuffix('/api')} …")
            address = ["--host", "127.0.0.1", "--port", api.split(":")[2].removesuffix("/api")]
            _launch(state, folder, "server", ["server", "start", *address], environment, root)
            _wait_healthy(api, folder / "server.log", lambda: _alive(state, "server"))
            prefect_api.end_unfinished(api, "The machine or its server stopped while this ran")
        note("work pools, limit and deployments …")
        prefect_api.create_pools(api)
        prefect_api.crash_silent_runs(api)
        prefect_api.set_limit(api, prefect_api.TEACHER_LIMIT, _teacher_slots())
        _deploy(folder, environment, root)
        if not _alive(state, "worker"):
            start = ["worker", "start", "--pool", "cpu", "--name", "diffchat-cpu"]
            _launch(state, folder, "worker", [*start, "--type", "process"], environment, root)
            _wait_for_worker(api, folder / "worker.log", lambda: _alive(state, "worker"))
    except BaseException:
        down(home, root)
        raise
    _write_toml(root, folder, api)
    note(f"up: {api.removesuffix('/api')}   (logs in {folder}; `make down` stops it)")
    return api


def down(home: Path, root: Path = ROOT) -> None:
    """Stop the server and the worker that `up` started for `home`, and remove `prefect.toml`.

    Runs that were under way are "Crashed" from then on: the next run goes on where they stopped.
    A process is stopped only if it is the one that was started: a number that now belongs to
    another process is left alone.  Does nothing where nothing runs.
    """
    folder = _folder(home)
    state = _read_state(folder)
    toml = root / "prefect.toml"
    if toml.exists() and _owner(toml) == str(folder):
        toml.unlink()
    if state is None:
        note("nothing is up")
        return
    _stop(state, "worker")
    if _alive(state, "server") and prefect_api.healthy(state["api"]):
        prefect_api.end_unfinished(state["api"], "`make down` stopped this")
    _stop(state, "server")
    (folder / "stack.json").unlink(missing_ok=True)
    note("down")


def in_process_environment(
    home: Path, meanwhile: Callable[[], object] = lambda: None
) -> dict[str, str]:
    """The environment in which this process runs flows itself; call it before Prefect's import.

    Uses the server of `$PREFECT_API_URL`, or the one that `up` started, or else starts a temporary
    one that ends with this process (`tasks.temporary_server`).  That takes about 7 s of CPU, so
    `meanwhile` is called then.  Raises StackError if it does not come up.
    """
    environment = _quiet(home) | {
        "PREFECT_LOGGING_LEVEL": "CRITICAL",  # errors propagate to the command line as they are
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    }
    state = _read_state(_folder(home))
    if os.environ.get("PREFECT_API_URL"):
        return environment
    if state and _alive(state, "server") and prefect_api.healthy(state["api"]):
        return environment | {"PREFECT_API_URL": state["api"]}
    port = _free_port(0)
    api = f"http://127.0.0.1:{port}/api"
    environment["PREFECT_API_URL"] = api
    os.environ.update(environment)
    server, log = _start_temporary(home, port)
    meanwhile()
    _wait_healthy(api, log, lambda: server.poll() is None)
    return environment


def _start_temporary(home: Path, port: int) -> tuple[subprocess.Popen[bytes], Path]:
    folder = _folder(home)
    folder.mkdir(parents=True, exist_ok=True)
    database = Path(tempfile.mkdtemp(prefix="build-", dir=folder)) / "prefect.db"
    log = folder / "build-server.log"
    no_services = {
        f"PREFECT_SERVER_SERVICES_{service}_ENABLED": "false"
        for service in ("SCHEDULER", "LATE_RUNS", "TRIGGERS", "FOREMAN", "PAUSE_EXPIRATIONS")
    }
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "tasks.temporary_server", str(port), str(database)],
            cwd=ROOT,
            env=os.environ | no_services | {"PREFECT_SERVER_UI_ENABLED": "false"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C is for the build, which then stops its server
        )

    # Registered before Prefect's import, so it runs after Prefect has sent its last events.
    def stop() -> None:
        server.terminate()
        server.wait(STOP_TIMEOUT_S)

    atexit.register(stop)
    return server, log


def _folder(home: Path) -> Path:
    return Path(home).resolve() / "prefect"


def _quiet(home: Path) -> dict[str, str]:
    """Settings of every Prefect process of ours: its own folder, no telemetry."""
    return {
        "PREFECT_HOME": str(_folder(home)),
        "DIFFCHAT_HOME": str(Path(home).resolve()),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",  # SQLite's wait for a lock; default 10
        "PREFECT_WORKER_QUERY_SECONDS": "3",  # how often the worker asks for runs; default 10
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(prefect_api.HEARTBEAT_S),  # default: 180
    }


def _prefect(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _launch(
    state: dict[str, Any],
    folder: Path,
    name: str,
    arguments: list[str],
    environment: Mapping[str, str],
    root: Path,
) -> None:
    """Start a background process and record it before anything else can go wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            _prefect(arguments),
            cwd=root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    state["processes"][name] = {"pid": process.pid, "born": _born(process.pid)}
    (folder / "stack.json").write_text(json.dumps(state, indent=2), encoding="utf-8")


def _born(pid: int) -> str | None:
    """When a process started, in ticks since boot: tells it from a later one of the same number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def _alive(state: Mapping[str, Any], name: str) -> bool:
    process = state["processes"].get(name)
    return process is not None and process["born"] == _born(process["pid"]) is not None


def _stop(state: Mapping[str, Any], name: str) -> None:
    if not _alive(state, name):
        return
    group = state["processes"][name]["pid"]  # it leads a session of its own
    family = _descendants(group)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        os.killpg(group, sign)
        end = time.monotonic() + STOP_TIMEOUT_S
        while _alive(state, name) and time.monotonic() < end:
            time.sleep(0.1)
            family |= _descendants(group)
        if not _alive(state, name):
            break
    _end(family)


def _descendants(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return set()


def _end(family: set[psutil.Process]) -> None:
    """Flow runs lead sessions of their own: one that has just begun would outlive its worker."""
    left = list(family)
    for stop in (psutil.Process.terminate, psutil.Process.kill):
        for process in left:
            with suppress(psutil.NoSuchProcess):
                stop(process)
        _, left = psutil.wait_procs(left, timeout=STOP_TIMEOUT_S)


def _read_state(folder: Path) -> dict[str, Any] | None:
    path = folder / "stack.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        raise StackError(
            f"{path} cannot be read. If no Prefect server is running, delete it and try again."
        ) from None


def _owner(toml: Path) -> str:
    """The folder of the stack that wrote a `prefect.toml`; empty for a person's own file."""
    first = toml.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix(_TOML_MARK) if first.startswith(_TOML_MARK) else ""


_TOML_MARK = "# written by `diffchat up` of "


def _refuse_foreign(root: Path, folder: Path) -> None:
    toml = root / "prefect.toml"
    if not toml.exists():
        return
    owner = _owner(toml)
    if not owner:
        raise StackError(f"{toml} is not ours: move it away, then try again.")
    other = _read_state(Path(owner))
    if owner != str(folder) and other and _alive(other, "server"):
        raise StackError(
            f"A stack for DIFFCHAT_HOME={Path(owner).parent} is up. Stop it with "
            f"`DIFFCHAT_HOME={Path(owner).parent} make down`, then try again."
        )


def _write_toml(root: Path, folder: Path, api: str) -> None:
    text = (
        f"{_TOML_MARK}{folder}\nhome = {json.dumps(str(folder))}\n\n[api]\nurl = {api!r}\n\n"
        f"[flows]\nheartbeat_frequency = {prefect_api.HEARTBEAT_S}\n"
    )
    (root / "prefect.toml").write_text(text, encoding="utf-8")


def _free_port(wanted: int | None) -> int:
    """`wanted`; for None 4200 or else any free one; for 0 any free one."""
    for port in [DEFAULT_PORT, 0] if wanted is None else [wanted]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return probe.getsockname()[1]
    raise StackError(f"Port {wanted} is taken by another program: choose another one.")


def _wait_healthy(api: str, log: Path, runs: Callable[[], bool]) -> None:
    _wait(lambda: prefect_api.healthy(api), runs, "The Prefect server", log)


def _wait_for_worker(api: str, log: Path, runs: Callable[[], bool]) -> None:
    """Until the worker has been heard of by the server."""

    def online() -> bool:
        found = prefect_api.post(api, "work_pools/cpu/workers/filter", {}).json()
        return any(worker["status"] == "ONLINE" for worker in found)

    _wait(online, runs, "The worker", log)


def _wait(ready: Callable[[], bool], runs: Callable[[], bool], what: str, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT_S
    while not ready():
        if not runs():
            raise StackError(f"{what} ended while it started: {_tail(log)}\nAll of it: {log}")
        if time.monotonic() > end:
            raise StackError(f"{what} did not start within {START_TIMEOUT_S} s. See {log}.")
        time.sleep(0.1)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-5:])


def _teacher_slots() -> int:
    """The most requests that any profile sends at a time: no shard may ask for more than all."""
    return max(load_settings(p.stem).teacher.concurrency for p in PROFILES.glob("*.toml"))


def _deploy(folder: Path, environment: Mapping[str, str], root: Path) -> None:
    done = subprocess.run(
        _prefect(["--no-prompt", "deploy", "--all"]),
        cwd=root,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    log = folder / "deploy.log"
    log.write_text(done.stdout + done.stderr, encoding="utf-8")
    if done.returncode:
        raise StackError(f"`prefect deploy` failed: {_tail(log)}\nAll of it: {log}")
