"""Our teacher client in the harness of `bench/teach`, beside curator and the bare client.

    OURS="$PWD/.venv/bin/python -m benchmarks.teach" PYTHONPATH=$PWD bench/teach/run.sh ours openai

Method: the harness starts a server that answers after 200 ms, runs this as a fresh process with an
empty folder, again with the same folder, once killed at half and resumed, once under faults, and
counts requests, time and memory from outside.  This asks through the public API
(`models.teacher.client.ask`) with the schema and the prompts that all clients of the harness get,
and writes each row to a file as it arrives; what the file holds is not asked again.  One setting is
not the default: 8 attempts, as the faults of the harness strike without regard to the request, and
one in 16,000 would fail three times by chance alone.

Left out: the lake (`benchmarks/warehouse.py` times it) and the rules for triples.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel

from models.teacher.client import Request, ask
from schemas.identity import call_id
from schemas.settings import TeacherSettings

MODEL = "fake"
SYSTEM = (
    "You propose edits of an image prompt. Answer with JSON only: three proposals, each with the "
    "instruction, the prompt of the edited image, and the phrases to keep, to add and to remove."
)


class Proposal(BaseModel):
    instruction: str
    target_prompt: str
    keep: list[str]
    add: list[str]
    remove: list[str]


class Proposals(BaseModel):
    """The harness's schema, letter by letter: without the kind and the intent of ours."""

    proposals: list[Proposal]


read = Proposals.model_validate_json


def requests(prompts: list[str], have: set[str]) -> Iterator[Request]:
    schema = {"name": "Proposals", "schema": Proposals.model_json_schema()}
    form = {"type": "json_schema", "json_schema": schema}
    for prompt in prompts:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}]
        body = {"model": MODEL, "messages": messages, "response_format": form}
        key = call_id(body, 0)
        if key not in have:
            yield Request(key, body, {"subject": prompt})


class Answers:
    """An append-only file of rows; a torn last line is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self.ok: dict[str, str] = {}
        whole = 0
        if path.exists():
            with path.open("rb") as lines:
                for line in lines:
                    if not line.endswith(b"\n"):
                        break
                    whole += len(line)
                    self._note(orjson.loads(line))
        self.file = path.open("ab", buffering=0)
        self.file.truncate(whole)

    def append(self, row: dict[str, Any]) -> None:
        """Handed to the kernel before it returns: a killed process keeps it."""
        self.file.write(orjson.dumps(row) + b"\n")
        self._note(row)

    def _note(self, row: dict[str, Any]) -> None:
        if row["status"] == "ok":
            self.ok[row["call_id"]] = row["answer"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--prompts", type=Path, required=True, help="one prompt a line")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--work", type=Path, required=True, help="cache and outputs")
    args = parser.parse_args()
    prompts = args.prompts.read_text(encoding="utf-8").splitlines()[: args.n]
    args.work.mkdir(parents=True, exist_ok=True)
    settings = TeacherSettings(
        base_url=args.base_url,
        concurrency=args.concurrency,
        attempts_per_build=8,
        attempts_terminal=8,
    )
    import uvloop

    began = time.perf_counter()
    answers = Answers(args.work / "answers.jsonl")
    uvloop.run(ask(requests(prompts, set(answers.ok)), settings, answers.append, read=read))
    took = round(time.perf_counter() - began, 3)
    valid = 0
    for text in answers.ok.values():
        try:
            read(text)
            valid += 1
        except ValueError:
            pass
    print(json.dumps({"gen_s": took, "rows": valid}), flush=True)


if __name__ == "__main__":
    main()
