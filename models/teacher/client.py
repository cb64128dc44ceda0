"""Ask a teacher: many chat completions at once, through the `openai` client, each attempt a row.

    summary = asyncio.run(ask(requests, settings, on_answer))

Lean on purpose: the client's typed `create` burns 3 to 4 ms of CPU a request, its own `post` over
the aiohttp transport half of that, so the answer is read here, once.  Retries are ours, not the
client's, because each attempt must be a row and a retry must not hold a slot.

What comes back becomes a status: `ok`; `throttled` (429: the endpoint asks to wait; does not count
as an attempt until it has said so `PATIENCE` times); `transient` (time-outs, lost connections,
5xx, an answer cut off); `refusal`; `schema` (not what was asked for).  Leaves out what to ask
(`recipes`), and where rows go (`on_answer`).
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.teacher.budget import Budget, guess_tokens
from models.teacher.throttle import Throttle
from schemas.errors import TeacherError
from schemas.identity import content_id
from schemas.settings import TeacherSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

MAX_ANSWER_BYTES = 1 << 20  # a proposal list is a few kilobytes; a megabyte is a runaway
BACK_OFF_S, LONGEST_WAIT_S = 0.5, 30.0  # doubling, with jitter; Retry-After is obeyed up to 60 s
LONGEST_RETRY_AFTER_S = 60.0
PATIENCE = 20  # answers 429 to one request before it counts as failed
HOPELESS = 20  # answers in a row, none of them good, all of one kind, after which to give up
UNUSABLE = {401: "refuses the key", 403: "forbids this", 404: "does not know this path or model"}

OnAnswer = Callable[[dict[str, Any]], None]
Read = Callable[[str], Any]  # raises ValueError for an answer of the wrong schema


class Request(NamedTuple):
    """A question: its body, and what its rows carry (`recipe_id`, `raw_prompt_id`, …)."""

    call_id: str
    body: Mapping[str, Any]
    columns: Mapping[str, Any]
    sample_index: int = 0
    attempt: int = 1  # number of the next attempt, over all builds
    final_failures: int = 0  # refusals and schema errors so far, over all builds


class Verdict(NamedTuple):
    """What became of one attempt."""

    status: str
    error: str | None = None
    answer: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    retry_after_s: float | None = None
    overloaded: bool = False
    unusable: str | None = None


@dataclass
class Summary:
    """Counts of one `ask`: requests answered and given up, attempts by status, what it cost."""

    ok: int = 0
    given_up: int = 0
    not_sent: int = 0  # the budget was reached before them
    attempts: dict[str, int] = field(default_factory=dict)
    tokens: int = 0
    usd: float = 0.0

    @property
    def stopped_by_budget(self) -> bool:
        return self.not_sent > 0


@dataclass
class _Job:
    request: Request
    payload: bytes
    tries: int = 0  # attempts of this run that count
    throttled: int = 0
    final: int = 0
    attempt: int = 1


async def ask(
    requests: Iterable[Request],
    settings: TeacherSettings,
    on_answer: OnAnswer,
    *,
    read: Read | None = None,
    budget: Budget | None = None,
    base_url: str | None = None,
) -> Summary:
    """Ask everything, with up to `settings.concurrency` requests under way.

    `on_answer` gets a row of `schemas.records.TEACHER_CALLS` for each attempt as it ends; `read`
    parses an answer's text (default: `answer.Answer`).  `base_url` overrides the settings' (the
    offline teacher's is known only when it runs).

    Raises TeacherError if the endpoint cannot be used at all; its attempts are rows by then.
    """
    run = _Run(settings, on_answer, read or _read_answer, budget or Budget.of(settings))
    jobs = [_job(request) for request in requests]
    if not jobs:
        return run.summary
    key = _key(settings, base_url)
    async with _open(settings, base_url, key) as client:
        await run.all(client, jobs, key)
    return run.summary


def _read_answer(text: str) -> Any:
    from models.teacher.answer import Answer

    return Answer.model_validate_json(text)


def _job(request: Request) -> _Job:
    return _Job(
        request,
        orjson.dumps(request.body),
        final=request.final_failures,
        attempt=request.attempt,
    )


def _key(settings: TeacherSettings, base_url: str | None) -> str:
    """The key of the endpoint; local servers take any.  Raises TeacherError if it is not set."""
    key = os.environ.get(settings.api_key_env, "")
    if key or base_url is not None:
        return key or "none"
    raise TeacherError(
        f"The teacher at {settings.base_url} needs a key: set the variable "
        f"{settings.api_key_env}, or name another one in teacher.api_key_env."
    )


def _open(settings: TeacherSettings, base_url: str | None, key: str) -> "AsyncOpenAI":
    from httpx2 import Limits
    from openai import AsyncOpenAI, DefaultAioHttpClient

    connections = Limits(max_connections=settings.concurrency, max_keepalive_connections=None)
    return AsyncOpenAI(
        base_url=base_url or settings.base_url,
        api_key=key,
        max_retries=0,
        timeout=settings.timeout_s,
        http_client=DefaultAioHttpClient(limits=connections),
    )


class _Run:
    """The state of one `ask`: what waits, what is under way, what it has cost."""

    def __init__(
        self, settings: TeacherSettings, on_answer: OnAnswer, read: Read, budget: Budget
    ) -> None:
        self.settings, self.on_answer, self.read, self.budget = settings, on_answer, read, budget
        self.summary = Summary()
        self.throttle = Throttle(settings.concurrency)
        self.ready: asyncio.PriorityQueue[tuple[float, int, _Job | None]] = asyncio.PriorityQueue()
        self.open = self.number = 0
        self.spent = False
        self.fruitless: dict[str, int] = {}  # answers of each error while nothing was ever good
        self.settled = asyncio.Event()

    async def all(self, client: "AsyncOpenAI", jobs: list[_Job], key: str) -> None:
        self.open = len(jobs)
        for job in jobs:
            self._queue(job)
        workers = min(self.settings.concurrency, len(jobs))
        tasks = [asyncio.create_task(self._work(client, key)) for _ in range(workers)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _queue(self, job: _Job | None, delay_s: float = 0.0) -> None:
        """Make a job ready, now or later; a job that waits holds no slot."""
        self.number += 1
        entry = (0.0 if job else -1.0, self.number, job)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, self.ready.put_nowait, entry)
        else:
            self.ready.put_nowait(entry)

    async def _work(self, client: "AsyncOpenAI", key: str) -> None:
        while self.open:
            _, _, job = await self.ready.get()
            if job is None:
                return
            async with self.throttle:
                await self._once(client, job, key)

    async def _once(self, client: "AsyncOpenAI", job: _Job, key: str) -> None:
        body = job.request.body
        reserved = guess_tokens(len(job.payload)), int(body.get("max_completion_tokens") or 0)
        while not self.spent and not self.budget.reserve(*reserved):
            if self.throttle.under_way <= 1 or not self.budget.reserved_tokens:
                self.spent = True
            else:
                await self._until_settled()
        if self.spent:
            self.summary.not_sent += 1
            self._close()
            return
        started = time.monotonic()
        called_at = datetime.now(UTC)
        verdict = Verdict("transient", "cancelled")
        try:
            verdict = await self._send(client, job)
        finally:
            cost = self.budget.settle(reserved, verdict.prompt_tokens, verdict.completion_tokens)
            self.settled.set()
        self.throttle.note(verdict.overloaded)
        row = _row(job, verdict, cost, called_at, (time.monotonic() - started) * 1000)
        self.on_answer(_without(row, key))
        self._after(job, verdict, cost, key)

    async def _until_settled(self) -> None:
        self.settled.clear()
        await self.settled.wait()

    async def _send(self, client: "AsyncOpenAI", job: _Job) -> Verdict:
        """One request; every way in which it can go wrong becomes a verdict."""
        from httpx2 import HTTPError, Response
        from openai import APIConnectionError, APIStatusError, APITimeoutError

        try:
            async with asyncio.timeout(self.settings.timeout_s):
                response = await client.post(
                    "/chat/completions", body=job.payload, cast_to=Response, options=_AS_JSON
                )
        except (APITimeoutError, TimeoutError):
            said = f"no answer within {self.settings.timeout_s:g} s"
            return Verdict("transient", said, overloaded=True)
        except APIStatusError as error:
            return _of_status(error.status_code, error.response.headers, error.response.text)
        except (APIConnectionError, HTTPError) as error:
            return Verdict("transient", f"connection: {_cause(error)}")
        return _of_answer(response.content, self.read)

    def _after(self, job: _Job, verdict: Verdict, cost: float, key: str) -> None:
        """Count, and either close the job or make it ready again."""
        summary = self.summary
        summary.attempts[verdict.status] = summary.attempts.get(verdict.status, 0) + 1
        summary.tokens += verdict.prompt_tokens + verdict.completion_tokens
        summary.usd += cost
        if verdict.status == "ok":
            summary.ok += 1
            self._close()
            return
        self._give_up_if_hopeless(verdict, key)
        job.attempt += 1
        if verdict.status == "throttled" and job.throttled < PATIENCE:
            job.throttled += 1
            self._queue(job, _wait_s(job.throttled, verdict.retry_after_s))
            return
        if verdict.status in ("refusal", "schema"):
            job.final += 1
        job.tries += 1
        tried = job.tries >= self.settings.attempts_per_build
        if tried or job.final >= self.settings.attempts_terminal:
            summary.given_up += 1
            self._close()
            return
        wait = _wait_s(job.tries, verdict.retry_after_s) if verdict.status == "transient" else 0.0
        self._queue(job, wait)

    def _give_up_if_hopeless(self, verdict: Verdict, key: str) -> None:
        """Raise TeacherError for an endpoint that has never given a good answer."""
        where = self.settings.base_url or "the offline teacher"
        if self.summary.ok:
            return
        if verdict.unusable:
            raise TeacherError(
                f"{where} {verdict.unusable} ({_without_key(verdict.error, key)}): check "
                f"teacher.base_url, teacher.model and the variable {self.settings.api_key_env}."
            )
        kind = (verdict.error or verdict.status)[:24]
        self.fruitless[kind] = self.fruitless.get(kind, 0) + 1
        if self.fruitless[kind] >= HOPELESS and len(self.fruitless) == 1:
            raise TeacherError(
                f"{where} gave {HOPELESS} answers and no good one: "
                f"{_without_key(verdict.error, key)}. Nothing is lost; once it works, the same "
                "command goes on."
            )

    def _close(self) -> None:
        self.open -= 1
        if self.open == 0:
            for _ in range(self.settings.concurrency):
                self._queue(None)


_AS_JSON: Any = {"headers": {"Content-Type": "application/json"}}


def _of_status(status: int, headers: Mapping[str, str], text: str) -> Verdict:
    error = f"HTTP {status}: {text[:500]}"
    wait = retry_after_s(headers)
    if status == 429:
        return Verdict("throttled", error, retry_after_s=wait, overloaded=True)
    if status in UNUSABLE:
        return Verdict("transient", error, unusable=UNUSABLE[status])
    if status in (408, 409) or status >= 500:
        return Verdict("transient", error, retry_after_s=wait, overloaded=status == 503)
    return Verdict("refusal", error)


def _of_answer(content: bytes, read: Read) -> Verdict:
    """Read a chat completion.  Tokens are booked whatever the answer is worth."""
    if len(content) > MAX_ANSWER_BYTES:
        tokens = guess_tokens(len(content))
        said = f"an answer of {len(content):,} bytes, at most {MAX_ANSWER_BYTES:,} are read"
        return Verdict("schema", said, completion_tokens=tokens)
    try:
        data = orjson.loads(content)
        choice = data["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        usage = data.get("usage") or {}
        paid = {
            "model": data.get("model"),
            "prompt_tokens": int(usage.get("prompt_tokens") or 0),
            "completion_tokens": int(usage.get("completion_tokens") or 0),
        }
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        return Verdict("transient", f"not a chat completion ({error!r}): {content[:200]!r}")
    if refusal or finish == "content_filter":
        return Verdict("refusal", str(refusal or "content filter")[:500], answer=text, **paid)
    if not isinstance(text, str) or not text.strip():
        return Verdict("schema", "the answer is empty", answer=None, **paid)
    try:
        read(text)
    except ValueError as error:
        if finish == "length":
            return Verdict("transient", "the answer was cut off (length)", answer=text, **paid)
        return Verdict("schema", _first_line(error), answer=text, **paid)
    return Verdict("ok", None, answer=text, **paid)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: `retry-after-ms`, `Retry-After` in seconds or a date."""
    value = headers.get("retry-after-ms")
    try:
        if value is not None:
            return min(float(value) / 1000, LONGEST_RETRY_AFTER_S)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            wait = float(value)
        except ValueError:
            wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError):
        return None
    return min(max(wait, 0.0), LONGEST_RETRY_AFTER_S)


def _wait_s(tries: int, asked_s: float | None) -> float:
    """As long as was asked for, else exponential back-off; jittered, so that waits spread out."""
    if asked_s is not None:
        return asked_s * random.uniform(1.0, 1.1)
    return min(LONGEST_WAIT_S, BACK_OFF_S * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)


def _row(
    job: _Job, verdict: Verdict, cost: float, called_at: datetime, latency_ms: float
) -> dict[str, Any]:
    """A row of TEACHER_CALLS."""
    request = job.request
    return {
        **request.columns,
        "attempt_id": content_id("attempt", request.call_id, job.attempt),
        "call_id": request.call_id,
        "sample_index": request.sample_index,
        "attempt": job.attempt,
        "status": verdict.status,
        "error": verdict.error,
        "request": job.payload.decode(),
        "answer": verdict.answer,
        "model": verdict.model,
        "prompt_tokens": verdict.prompt_tokens,
        "completion_tokens": verdict.completion_tokens,
        "cost_usd": cost,
        "latency_ms": round(latency_ms, 1),
        "called_at": called_at,
    }


def _without(row: dict[str, Any], key: str) -> dict[str, Any]:
    """The row without the key, should the endpoint have echoed it."""
    for name in ("error", "answer"):
        row[name] = _without_key(row[name], key)
    return row


def _without_key(text: str | None, key: str) -> str | None:
    return text.replace(key, "[key]") if text and len(key) > 4 else text


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"[:300]
