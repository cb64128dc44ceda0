"""The command line: help, exit codes and messages, without a build."""

import subprocess
import sys

import pytest

from app.commands.options import changes_of
from tests.app.conftest import ROOT

COMMANDS = (
    "build", "sql", "versions", "export", "import", "estimate", "doctor", "demo", "purge", "sft",
    "rl", "evaluate", "report", "promote", "retrain", "vote", "rewrite", "chat", "app",
)  # fmt: skip


def run(*words, home=None):
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *words], cwd=ROOT, capture_output=True, text=True
    )


def test_help_lists_the_commands_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['diffchat', '--help']\n"
        "from app.cli import cli\n"
        "try: cli()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'prefect', 'duckdb', 'pyarrow', 'pydantic', 'great_expectations'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert "HEAVY []" in out.stdout, out.stdout + out.stderr
    for command in COMMANDS:
        assert command in out.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_text(command):
    out = run(command, "--help")
    assert out.returncode == 0
    assert "--help" in out.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("versions",), 3, "diffchat build"),
        (("sql", "SELECT 1"), 3, "diffchat build"),
        (("versions", "--profile", "nope"), 2, "Known profiles"),
        (("build", "--set", "teacher.modle=x"), 2, "teacher.modle"),
        (("build", "--set", "teacher.model"), 2, "KEY=VALUE"),
        (("build", "--prompts", "no/such/file.txt"), 2, "no/such/file.txt"),
        (("build", "--set", "tis.model=no/such/folder"), 6, "no/such/folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_message_with_an_exit_code(words, code, said):
    out = run(*words)
    assert (out.returncode, said in out.stderr) == (code, True), out.stderr
    assert "Traceback" not in out.stderr


def test_an_option_that_is_not_given_leaves_what_was_set():
    pairs = ["collect.limit=5", "teacher.model=small"]
    assert changes_of(pairs, {"collect.limit": None})["collect.limit"] == 5
    assert changes_of(pairs, {"collect.limit": 7}) == {"collect.limit": 7, "teacher.model": "small"}
