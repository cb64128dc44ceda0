"""Fixtures: a faulty server, and a way to ask it that keeps the rows."""

from collections.abc import Sequence
from typing import Any

import pytest
import pytest_asyncio

from models.teacher import client
from models.teacher.budget import Budget
from models.teacher.client import Request, Summary, ask
from models.teacher.recipes import teacher_body
from schemas.identity import call_id, raw_prompt_id
from schemas.settings import TeacherSettings
from tests.models.teacher.faulty_server import FaultyServer, faulty_server

KEY = "sk-very-secret-1234567890"


@pytest_asyncio.fixture
async def server():
    async with faulty_server() as found:
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Back-off in hundredths of a second, and a key that must never show."""
    monkeypatch.setattr(client, "BACK_OFF_S", 0.02)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


class Asked:
    """The rows and the summary of one `ask`."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.summary = Summary()

    def of(self, prompt: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["subject"] == prompt]

    def statuses(self, prompt: str) -> list[str]:
        return [row["status"] for row in self.of(prompt)]


def request_for(prompt: str, settings: TeacherSettings, **changes: Any) -> Request:
    body = teacher_body(prompt, settings)
    columns = {
        "recipe_id": "recipe",
        "raw_prompt_id": raw_prompt_id(prompt),
        "subject": prompt,
        "build_id": "build",
    }
    return Request(call_id(body, 0), body, columns)._replace(**changes)


@pytest.fixture
def ask_server(server: FaultyServer):
    """`await ask_server(prompts, **settings)` → Asked; an exception has the rows as `.asked`."""

    async def run(
        prompts: Sequence[str],
        *,
        budget: Budget | None = None,
        changes: dict[str, Any] | None = None,
        **options: Any,
    ) -> Asked:
        known: dict[str, Any] = {"base_url": server.base_url, "timeout_s": 5, **options}
        settings = TeacherSettings(**known)
        asked = Asked()
        requests = [request_for(prompt, settings, **(changes or {})) for prompt in prompts]
        try:
            asked.summary = await ask(requests, settings, asked.rows.append, budget=budget)
        except Exception as error:
            error.asked = asked  # type: ignore[attr-defined]
            raise
        return asked

    return run
