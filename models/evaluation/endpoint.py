"""Answers of an OpenAI-compatible endpoint, asked in the project's chat format.

An endpoint that is down is no reason to lose the rest of a table: its answers are errors that say
what was wrong.  The first question is asked alone, so that a dead host is found out once and not
ten thousand times.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from models.evaluation.methods import Answer, Question, conversation
from models.teacher.connection import key_of, public, url_of
from schemas.errors import TeacherError
from schemas.evaluation import MethodSettings
from schemas.settings import StudentSettings, TeacherSettings


def endpoint_answers(
    settings: MethodSettings, student: StudentSettings, questions: Sequence[Question]
) -> list[Answer]:
    """One answer a question; never raises for what the endpoint does."""
    if not questions:
        return []
    asked = TeacherSettings(base_url=settings.base_url, api_key_env=settings.api_key_env)
    try:
        url = url_of(asked, None)
        key = key_of(asked, url)
    except TeacherError as error:
        said = str(error).replace("teacher", "endpoint")
        return [Answer(None, said) for _ in questions]
    return asyncio.run(_ask(settings, student.max_new_tokens, url, key, list(questions)))


async def _ask(
    settings: MethodSettings, most: int, url: str, key: str, questions: list[Question]
) -> list[Answer]:
    from openai import APIConnectionError, AsyncOpenAI, OpenAIError

    slots = asyncio.Semaphore(settings.concurrency)
    client = AsyncOpenAI(base_url=url, api_key=key, timeout=settings.timeout_s, max_retries=1)

    async def one(question: Question) -> Answer:
        messages: Any = conversation(question)
        async with slots:
            started = time.perf_counter()
            try:
                reply = await client.chat.completions.create(
                    model=str(settings.model),
                    messages=messages,
                    max_tokens=most,
                    temperature=0,
                )
            except APIConnectionError as error:
                return Answer(None, f"no connection to {public(url)}: {error}")
            except OpenAIError as error:
                return Answer(None, f"{public(url)} said: {str(error)[:300]}")
        spent = (time.perf_counter() - started) * 1e3
        choice = reply.choices[0] if reply.choices else None
        text = (choice.message.content or "").strip() if choice else ""
        tokens = reply.usage.completion_tokens if reply.usage else None
        finished = choice is not None and choice.finish_reason == "stop"
        error = None if text else "the endpoint answered nothing"
        return Answer(text or None, error, finished, tokens, spent)

    async with client:
        first = await one(questions[0])
        if first.error and first.error.startswith("no connection"):
            return [first] * len(questions)
        return [first, *await asyncio.gather(*(one(question) for question in questions[1:]))]
