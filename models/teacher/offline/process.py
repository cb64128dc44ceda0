"""Start the offline teacher as a process of its own, for as long as a `with` block lasts.

The child takes a free port, is waited for until it is ready, ends with the block, and ends by
itself if this process is killed (it watches its parent, and on Linux the kernel tells it).
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import TeacherError

ROOT = Path(__file__).resolve().parents[3]
READY_S = 120.0  # seconds; a start takes one, on a machine that is not overloaded
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class OfflineTeacher:
    """Where the running server is: `base_url` for any OpenAI client, and its process id."""

    base_url: str
    pid: int


@contextmanager
def start_offline_teacher(host: str = "127.0.0.1", port: int = 0) -> Iterator[OfflineTeacher]:
    """A running offline teacher; `port` 0 takes a free one.

    Raises TeacherError if it is not ready within two minutes, with what it said.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "models.teacher.offline", "--host", host, "--port", str(port),
         "--parent", str(os.getpid())],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )  # fmt: skip
    try:
        yield OfflineTeacher(_wait_ready(process), process.pid)
    finally:
        _end(process)


def _wait_ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + READY_S
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        line = process.stdout.readline()
        if line.startswith("ready "):
            return line.split()[1]
        if not line:  # it has ended
            break
    _end(process)
    said = process.stderr.read()[-2_000:] if process.stderr else ""
    raise TeacherError(
        f"The offline teacher did not start within {READY_S:.0f} s. It said: {said.strip()!r}. "
        "Try `python -m models.teacher.offline` by itself."
    )


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def die_with_parent() -> None:
    """Ask the kernel to end this process with its parent; a watch in `serve` covers the rest."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
