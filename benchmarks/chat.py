"""How fast the chat is: start of the page, a turn, the first token.

    python -m benchmarks.chat [--model FOLDER] [--home FOLDER]

*Start*: `diffchat app` in a process of its own until a first request for the page is answered: wall
clock and CPU seconds of the process; with `--home` on what a demo has left there.  *Turn*: rewrite
by a local student and picture by the profile's model, median of 10 turns after the first, wall
clock and CPU seconds.  *First token*: median time to the first piece of `Policy.stream` against
`generate(max_new_tokens=1)` of the same model on the same conversation, 20 of each, by turns.  CPU
seconds stand beside wall clock because they hold on a busy machine too.
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from app.parts import Workshop
from app.session import Session
from app.store import ChatStore
from app.turns import edit, start
from schemas.chat import messages_of
from schemas.settings import load_settings

COLOURS = "red orange yellow green blue purple pink white".split()  # noqa: SIM905
CONVERSATION = messages_of("a red car on a city street at night", "make it blue")


def app_start(model: str, home: str | None) -> tuple[float, float]:
    """(wall, CPU) seconds until the page has answered."""
    with tempfile.TemporaryDirectory() as empty:
        began = time.monotonic()
        command = [sys.executable, "-m", "app.cli", "app", "--port", "0", "--model", model]
        env = os.environ | {"DIFFCHAT_HOME": home or empty}
        with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            for line in process.stderr:
                if up := re.search(r"is up after .*(http://\S+)", line):
                    urllib.request.urlopen(up[1]).read()
                    break
            wall = time.monotonic() - began
            fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            process.kill()
    return wall, cpu


def turns(workshop: Workshop, number: int = 10) -> list[tuple[float, float]]:
    """(wall, CPU) seconds of each turn after the first."""
    parts, took = workshop.parts(), []
    *_, session = start(workshop.store.new(), "a red car on a city street", parts)
    for turn in range(number):
        assert isinstance(session, Session)
        began, used = time.monotonic(), time.process_time()
        # Another seed each time, so that no picture is found among the stored ones.
        session = session.with_seed(turn + 1, locked=True)
        *_, session = edit(session, f"make it {COLOURS[turn % len(COLOURS)]}", parts)
        took.append((time.monotonic() - began, time.process_time() - used))
    return took


def first_token(workshop: Workshop, model: str, number: int = 20) -> tuple[float, float]:
    """Median seconds to the first piece: (streamed, bare generate of one token)."""
    import torch

    policy = workshop._policy(model)
    ids = torch.tensor([policy.encode(CONVERSATION)])
    streamed, bare = [], []
    for _ in range(number):
        began = time.monotonic()
        pieces = policy.stream(CONVERSATION)
        next(pieces)
        streamed.append(time.monotonic() - began)
        pieces.close()
        began = time.monotonic()
        with torch.inference_mode():
            policy.model.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=1
            )
        bare.append(time.monotonic() - began)
    return statistics.median(streamed), statistics.median(bare)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--model", default="auto", help="as of `diffchat app`")
    asked.add_argument("--home", help="a $DIFFCHAT_HOME to start on; default: an empty one")
    given = asked.parse_args()
    model = given.model
    wall, cpu = app_start(model, given.home)
    print(f"start         {wall:6.2f} s wall  {cpu:6.2f} s CPU")
    with tempfile.TemporaryDirectory() as home:
        settings = load_settings("embedded", {"chat.model": model})
        workshop = Workshop(settings, Path(home), ChatStore(Path(home)))
        workshop.warm()
        walls, cpus = zip(*turns(workshop), strict=True)
        print(f"turn, median  {statistics.median(walls):6.2f} s wall  "
              f"{statistics.median(cpus):6.2f} s CPU")  # fmt: skip
        streamed, bare = first_token(workshop, model)
        print(f"first token   {streamed * 1e3:6.1f} ms streamed  {bare * 1e3:6.1f} ms bare  "
              f"ratio {streamed / bare:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
