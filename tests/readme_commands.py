"""Check the commands that the README shows: `python -m tests.readme_commands`.

Every line of a ```console or ```bash block that starts with `diffchat` or `make` must name a
command, sub-command and options that exist; every ```sql block must parse.  Leaves out running
them: tests and `make demo` do that.
"""

import re
import shlex
import sys
from pathlib import Path

import duckdb
import typer.main

from app.cli import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"```(console|bash|sh|sql)\n(.*?)```", re.DOTALL)


def main() -> int:
    problems = [problem for page in PAGES if page.exists() for problem in check_page(page)]
    print("\n".join(problems) or f"commands of {len(PAGES)} pages: all exist")
    return bool(problems)


def check_page(page: Path) -> list[str]:
    """Problems of one page, each with the page's name and the line it is about."""
    problems = []
    for language, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sql":
            problems += [f"{page.name}: {p}" for p in sql_problems(body)]
            continue
        for line in body.replace("\\\n", " ").splitlines():
            problem = command_problem(line.removeprefix("$ ").strip())
            if problem:
                problems.append(f"{page.name}: {line.strip()}: {problem}")
    return problems


def command_problem(line: str) -> str | None:
    """What is wrong with one shell line, or None; lines of other programs are not looked at."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError as error:
        return str(error)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if not words:
        return None
    if words[0] == "make":
        return make_problem([w for w in words[1:] if "=" not in w])
    if words[0].removeprefix(".venv/bin/") == "diffchat":
        return diffchat_problem(words[1:])
    return None


def make_problem(targets: list[str]) -> str | None:
    known = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    missing = [t for t in targets if t not in known]
    return f"no make target {missing}" if missing else None


def diffchat_problem(words: list[str]) -> str | None:
    command = typer.main.get_command(cli)
    while words and hasattr(command, "commands") and words[0] in command.commands:
        command, words = command.commands[words[0]], words[1:]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        return f"no command {words[0]!r}"
    options = {name for p in command.params for name in (*p.opts, *p.secondary_opts)} | {"--help"}
    unknown = [w for w in words if w.startswith("--") and w.partition("=")[0] not in options]
    return f"no option {unknown}" if unknown else None


def sql_problems(body: str) -> list[str]:
    try:
        duckdb.extract_statements(body)
    except duckdb.Error as error:
        return [f"SQL: {error}"]
    return []


if __name__ == "__main__":
    sys.exit(main())
