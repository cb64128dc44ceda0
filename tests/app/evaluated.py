"""A small evaluation on the shipped models, made once for the tests that look at it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.app.conftest import ROOT
from tests.models.evaluation.miniatures import instruct_pix2pix
from tests.models.train.miniatures import student

ROWS = (  # prompt, instruction, target or None
    ("a red car in a meadow", "make the car blue", "a blue car in a meadow"),
    ("two birds at sunset", "add a house", "two birds and a house at sunset"),
    ("a cat", "put it in the desert", "a cat in the desert"),
    ("<script>alert(1)</script> a boat at sea", "<img src=x onerror=alert(2)> make it night", None),
    ("a white mushroom", "remove </script><b>nothing</b>", "a white mushroom"),
    ("a purple flower", "golden light", "a purple flower, golden light"),
)
CASES = [
    {"prompt": prompt, "instruction": instruction} | ({"target": target} if target else {})
    for prompt, instruction, target in ROWS
]


def run(home: Path, *words: str, code: int = 0) -> subprocess.CompletedProcess:
    environment = os.environ | {"DIFFCHAT_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *words], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=580,
    )  # fmt: skip
    assert done.returncode == code, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def methods(folder: Path) -> str:
    """The baselines, a miniature student, its best of two, and an endpoint that is down."""
    model = str(folder / "student")
    return json.dumps(
        [
            {"kind": "raw"},
            {"kind": "pasted"},
            {"kind": "teacher"},
            {"kind": "model", "model": model, "name": "miniature"},
            {"kind": "best_of_n", "model": model, "n": 2, "name": "best of two"},
            {"kind": "edit", "model": str(folder / "editor"), "steps": 2, "name": "edited"},
            {"kind": "endpoint", "model": "gone", "base_url": "http://127.0.0.1:9/v1"},
        ]
    )


def words(folder: Path) -> list[str]:
    """`diffchat evaluate` and its options for the cases above."""
    table = methods(folder).replace('":', '" =')  # JSON to TOML's inline tables
    return [
        "evaluate", "--cases", str(folder / "cases.jsonl"),
        "--set", f"evaluation.methods={table}", "--set", "evaluation.seeds=[7]",
        "--set", "student.max_new_tokens=12", "--set", "evaluation.resamples=400",
        "--set", "evaluation.transfer=[]",
    ]  # fmt: skip


def prepare(folder: Path) -> None:
    student(folder / "student", context=512)
    instruct_pix2pix(folder / "editor")
    (folder / "cases.jsonl").write_text("\n".join(map(json.dumps, CASES)) + "\n")
