"""`diffchat app` in a process of its own, on a free port, with the fake endpoint behind it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.app.chat.fakes import FakeEndpoint, endpoint
from tests.app.conftest import ROOT


class Served(NamedTuple):
    url: str
    home: Path
    endpoint: FakeEndpoint
    process: subprocess.Popen
    up_after_s: float


@contextmanager
def served(home: Path, *words: str, **environment: str) -> Iterator[Served]:
    """The running app; `words` are further options."""
    with endpoint() as model:
        command = [sys.executable, "-m", "app.cli", "app", "--port", "0", "--endpoint",
                   model.base_url, "--model", "rules", *words]  # fmt: skip
        env = os.environ | {"DIFFCHAT_HOME": str(home), **environment}
        process = subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"up after ([\d.]+) s: (http://\S+)", line):
                break
        else:
            raise AssertionError(f"the app did not start:\n{said}")
        # Whatever it says later must not fill the pipe.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield Served(found[2], home, model, process, float(found[1]))
        finally:
            process.terminate()
            process.wait(timeout=30)
