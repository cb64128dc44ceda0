"""`diffchat rewrite` and `diffchat chat` as a person runs them, on the shipped models."""

import io
import json
import os
import subprocess
import sys

import pytest
from PIL import Image

from tests.app.conftest import ROOT


def diffchat(*words: str, said: str = "", code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *words], cwd=ROOT, env=dict(os.environ), input=said,
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def served(fake_endpoint) -> list[str]:
    return ["--endpoint", fake_endpoint.base_url, "--model", "rules"]


def test_rewrite_answers_with_the_prompt_alone(served):
    assert diffchat("rewrite", "a red car", "make it blue", *served).stdout == "a blue car\n"


def test_rewrite_json_names_the_units(served):
    found = json.loads(diffchat("rewrite", "a red car", "make it blue", "--json", *served).stdout)
    assert (found["target_prompt"], found["add"], found["remove"]) == (
        "a blue car", ["blue car"], ["red car"])  # fmt: skip


def test_a_batch_answers_each_line_and_one_bad_line_harms_no_other(served):
    lines = [
        {"prompt": "a red car", "instruction": "make it blue", "id": 7},
        {"prompt": "", "instruction": "x"},
        {"prompt": "a (red hat:1.2)"},
    ]
    text = "\n".join([*map(json.dumps, lines), "not json", ""])
    done = diffchat("rewrite", *served, said=text, code=2)
    first, second, third, fourth = map(json.loads, done.stdout.splitlines())
    assert (first["id"], first["target_prompt"]) == (7, "a blue car")
    assert "empty" in second["error"]
    assert third["target_prompt"] == "a (red hat:1.2), soft shadows, fine detail"
    assert "Not JSON" in fourth["error"]


def test_rewrite_with_an_endpoint_imports_no_torch(served):
    code = (
        "import sys; sys.argv = ['diffchat', *sys.argv[1:]]\n"
        "from app.cli import cli\n"
        "try: cli()\n"
        "except SystemExit: pass\n"
        "print('HEAVY', sorted({'torch', 'gradio', 'prefect', 'transformers'} & set(sys.modules)))"
    )
    words = [sys.executable, "-c", code, "rewrite", "a red car", "make it blue", *served]
    out = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "HEAVY []" in out.stdout, out.stdout + out.stderr


def test_a_conversation_in_the_terminal(served, tmp_path):
    lines = [
        "a red car at night", "make it blue", "/undo", "add a moon", "/tree", "/vary 1", "/go 1",
        "/seed 5", "/lock red car", "/nonsense", "", f"/export {tmp_path}/out.png",
        f"/export {tmp_path}/out.json", "/image /etc/passwd", "/quit",
    ]  # fmt: skip
    done = diffchat("chat", "--folder", str(tmp_path / "pictures"), *served, said="\n".join(lines))
    assert "a -red+blue car at night" in done.stdout
    assert "a red car at night+, a moon" in done.stdout
    assert "no command /nonsense" in done.stdout
    assert "no picture that can be opened" in done.stdout
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.info["parameters"].startswith("a red car at night\n")
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 4
    again = diffchat("chat", "--resume", f"{tmp_path}/out.json", *served, said="/tree\n")
    assert "3. add a moon" in again.stdout
    last = diffchat("chat", "--resume", "last", *served, said="/tree\n")
    assert "3. add a moon" in last.stdout


def test_a_picture_that_says_its_prompt_starts_a_session(served, tmp_path):
    first = ["a red car at night", f"/export {tmp_path}/a.png"]
    diffchat("chat", *served, said="\n".join(first))
    done = diffchat("chat", *served, said=f"/image {tmp_path}/a.png\n")
    assert "the prompt that is in the file" in done.stdout


def test_a_terminal_that_can_is_shown_the_picture():
    from app.chat_terminal import drawn

    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    assert drawn(buffer.getvalue(), "blocks").count("▀") == 40 * 20
    assert drawn(buffer.getvalue(), "kitty").startswith("\x1b_Ga=T,f=100,r=16,m=0;")
    assert drawn(buffer.getvalue(), "iterm").startswith("\x1b]1337;File=inline=1")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rewrite", "a car", "x", "--model", "nope"), 6, "nope"),
        (("rewrite", "a car", "x", "--endpoint", "localhost:1"), 2, "http://host:port/v1"),
        (("rewrite", "a car", "x", "--endpoint", "http://127.0.0.1:9/v1"), 4, "cannot be reached"),
        (("chat", "--resume", "nothing"), 2, "no id|no session"),
        (("app", "--host", "256.1.1.1"), 2, "Cannot listen"),
    ],
)
def test_what_is_wrong_is_one_message(words, code, said):
    import re

    assert re.search(said, diffchat(*words, code=code).stderr)
