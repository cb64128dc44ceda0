"""Ask a teacher: many chat completions at once, through the `openai` client, each attempt a row.

    summary = asyncio.run(ask(requests, settings, on_answer))

Each attempt is handed to `on_answer` as it ends, before anything else is done, so a kill loses what
is under way and nothing else.  Failed attempts are repeated here, within the limits of the settings
(`attempts_per_build` transient errors in this run; `attempts_terminal` refusals and wrong schemas
over all builds); while a request waits for its turn it holds no slot.  A 429 that says when to come
back (`Retry-After`) only delays its request: it is a row, but counts as a failure only from
`PATIENCE` on.

Leaves out what to ask (`recipes`), how answers are read (`reply`, `answer`) and where rows go.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from models.teacher.budget import Budget, guess_tokens
from models.teacher.connection import connect, key_of, most_bytes, public, url_of
from models.teacher.reply import Read, Verdict, of_answer, of_exception, too_long, without_key
from models.teacher.throttle import Throttle
from schemas.errors import TeacherError
from schemas.identity import content_id
from schemas.settings import TeacherSettings

if TYPE_CHECKING:
    from models.teacher.lean_client import LeanOpenAI

BACK_OFF_S, LONGEST_BACK_OFF_S = 0.5, 30.0  # doubling, with jitter; our choice
PATIENCE = 10  # delays by Retry-After that one request may have in one run; our choice
HOPELESS = 16  # attempts in a row for which the endpoint was of no use
BLIP_S = 30.0  # an endpoint that answered so recently may be restarting

OnAnswer = Callable[[dict[str, Any]], None]


class Request(NamedTuple):
    """A question: its body, and what its rows carry (`recipe_id`, `raw_prompt_id`, …)."""

    call_id: str
    body: Mapping[str, Any]
    columns: Mapping[str, Any]
    sample_index: int = 0
    attempt: int = 1  # number of the next attempt, over all builds
    final_failures: int = 0  # refusals and schema errors so far, over all builds


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


@dataclass(slots=True)
class _Job:
    request: Request
    payload: bytes
    attempt: int
    final: int
    transient: int = 0
    delays: int = 0

    def reservation(self) -> tuple[int, int]:
        """The most tokens an attempt can cost: (prompt, completion)."""
        body = self.request.body
        most = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        return guess_tokens(len(self.payload)), int(most)


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
    parses an answer's text (default: the schema of the settings' recipe) and raises ValueError.
    `base_url` overrides the settings' (the offline teacher's is known only when it runs).  When the
    budget is reached, nothing more is sent, what is under way is waited for, and `not_sent` says
    how much was left.

    Raises TeacherError if the endpoint cannot be used at all; its attempts are rows by then.
    """
    fresh = iter(requests)
    first = next(fresh, None)
    if first is None:
        return Summary()  # without importing the client, which takes a second
    url = url_of(settings, base_url)
    key = key_of(settings, url)
    async with await connect(settings, url, key) as client:
        budget = budget or Budget.of(settings)
        run = _Run(client, key, settings, on_answer, read or _reader(settings), budget, url)
        await run.all(first, fresh)
    return run.summary


def _reader(settings: TeacherSettings) -> Read:
    from models.teacher.answer import Answer, Pairs

    return (Pairs if settings.recipe == "beautify" else Answer).model_validate_json


class _Run:
    """The state of one `ask`: what waits, what is under way, what it has cost."""

    def __init__(
        self,
        client: "LeanOpenAI",
        key: str,
        settings: TeacherSettings,
        on_answer: OnAnswer,
        read: Read,
        budget: Budget,
        base_url: str,
    ) -> None:
        self.client, self.key, self.where = client, key, public(base_url)
        self.url = f"{base_url}/chat/completions"  # absolute: it is parsed once less
        self.settings, self.on_answer, self.read, self.budget = settings, on_answer, read, budget
        self.summary = Summary()
        self.throttle = Throttle(settings.concurrency)
        self.most_bytes = most_bytes(settings)
        self.fresh: Iterator[Request] = iter(())
        self.again: deque[_Job] = deque()  # to be repeated now: before what is fresh
        self.delayed = 0
        self.under_way: set[asyncio.Task[None]] = set()
        self.stopping = False
        self.trouble: BaseException | None = None
        self.useless, self.useless_because = 0, ""  # attempts in a row
        self.useful_at: float | None = None
        self.finished = asyncio.Event()

    async def all(self, first: Request, fresh: Iterator[Request]) -> None:
        self.fresh = fresh
        self.again.append(_job(first))
        try:
            self._dispatch()
            await self.finished.wait()
        finally:
            for task in self.under_way:
                task.cancel()
            await asyncio.gather(*self.under_way, return_exceptions=True)
        if self.trouble is not None:
            raise self.trouble
        if self.useless and self.useful_at is None and self.summary.ok == 0:
            raise self._unusable()

    def _dispatch(self) -> None:
        """Send as much as may be under way; notice when there is nothing left to do."""
        while (taken := self._take()) is not None:
            task = asyncio.create_task(self._work(*taken))
            self.under_way.add(task)
            task.add_done_callback(self._done)
        if self.under_way or (self.delayed and not self.stopping):
            return
        if self.stopping and self.trouble is None:
            self.summary.not_sent = len(self.again) + self.delayed + sum(1 for _ in self.fresh)
        self.finished.set()

    def _take(self, own: int = 0) -> tuple[_Job, tuple[int, int]] | None:
        """The next job and what it reserves; None if nothing more may be under way now.

        `own` slots are the caller's, and empty.
        """
        under_way = len(self.under_way) - own
        if self.stopping or under_way >= self.throttle.limit:
            return None
        job = self._next()
        if job is None:
            return None
        reserved = job.reservation()
        if not self.budget.reserve(*reserved):
            self.again.appendleft(job)
            # What is under way may come back cheaper than feared, and make room.
            self.stopping = under_way == 0
            return None
        return job, reserved

    def _next(self) -> _Job | None:
        if self.again:
            return self.again.popleft()
        request = next(self.fresh, None)
        return None if request is None else _job(request)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._stop(error)  # a full disk, say: nothing more may be bought
        self.under_way.discard(task)
        self._dispatch()

    def _stop(self, trouble: BaseException) -> None:
        self.stopping, self.trouble = True, self.trouble or trouble

    async def _work(self, job: _Job, reserved: tuple[int, int]) -> None:
        """A slot: one attempt after the other, for as long as there are any for it.

        The next request leaves before the other answers of a burst are read.
        """
        taken: tuple[_Job, tuple[int, int]] | None = (job, reserved)
        while taken is not None:
            await self._once(*taken)
            taken = self._take(own=1)
            if taken is not None and len(self.under_way) < self.throttle.limit:
                self._dispatch()  # the throttle has grown

    async def _once(self, job: _Job, reserved: tuple[int, int]) -> None:
        """One attempt, from the slot that it holds to the row that it leaves."""
        called_at, started = datetime.now(UTC), time.monotonic()
        used: tuple[int, int] = reserved  # if it is cancelled: it may have been billed
        try:
            verdict = without_key(await self._send(job), self.key)
            prompt, completion = verdict.prompt_tokens, verdict.completion_tokens
            if prompt is not None and completion is not None:
                used = prompt, completion
        finally:
            cost = self.budget.settle(reserved, *used)
        latency_ms = (time.monotonic() - started) * 1000
        known = verdict.prompt_tokens is not None
        self.on_answer(_row(job, verdict, cost if known else None, called_at, latency_ms))
        summary = self.summary
        summary.attempts[verdict.status] = summary.attempts.get(verdict.status, 0) + 1
        summary.tokens += sum(used)
        summary.usd += cost
        self.throttle.note(verdict.overloaded)
        self._judge_endpoint(verdict)
        self._after(job, verdict)

    async def _send(self, job: _Job) -> Verdict:
        """One request; every way in which it can go wrong becomes a verdict."""
        try:
            async with asyncio.timeout(self.settings.timeout_s):
                response = await self.client.send(self.url, job.payload)
        except Exception as error:  # `of_exception` raises again what it does not know
            return of_exception(error, self.settings, self.key)
        if len(response.content) > self.most_bytes:
            return too_long(self.settings)
        return of_answer(response.content, len(job.payload), self.read)

    def _after(self, job: _Job, verdict: Verdict) -> None:
        """Close the job, or make it ready again, now or later."""
        job.attempt += 1
        if verdict.status == "ok":
            self.summary.ok += 1
            return
        delayed = verdict.overloaded and verdict.retry_after_s is not None
        if delayed and job.delays < PATIENCE:
            job.delays += 1
        elif verdict.status == "transient":
            job.transient += 1
        else:
            job.final += 1
        if (
            verdict.asking_again_is_vain
            or job.transient >= self.settings.attempts_per_build
            or job.final >= self.settings.attempts_terminal
        ):
            self.summary.given_up += 1
        elif verdict.status == "transient":
            self.delayed += 1
            wait = wait_s(job.transient + job.delays, verdict.retry_after_s)
            asyncio.get_running_loop().call_later(wait, self._resume, job)
        else:
            self.again.append(job)

    def _resume(self, job: _Job) -> None:
        self.delayed -= 1
        self.again.append(job)
        self._dispatch()

    def _judge_endpoint(self, verdict: Verdict) -> None:
        """Stop for an endpoint that has been of no use for a while."""
        if verdict.unusable is None:
            if not verdict.overloaded and verdict.status != "transient":
                self.useful_at, self.useless = time.monotonic(), 0
            return
        self.useless += 1
        self.useless_because = f"{verdict.unusable} ({verdict.error})"
        recently = self.useful_at is not None and time.monotonic() - self.useful_at < BLIP_S
        # A blip of the network passes, a revoked key does not; single requests may be rejected.
        for_good = verdict.asking_again_is_vain and verdict.status == "transient"
        # Time-outs may be overload, to which the throttle has to adapt first.
        enough = HOPELESS + (3 * self.settings.concurrency if verdict.overloaded else 0)
        if self.useless >= enough and (for_good or not recently):
            self._stop(self._unusable())

    def _unusable(self) -> TeacherError:
        return TeacherError(
            f"The teacher at {self.where} {self.useless_because}. Check teacher.base_url, "
            f"teacher.model and the key in the variable {self.settings.api_key_env}; `diffchat "
            "doctor` asks the endpoint for its models. What was answered is kept: once it works, "
            "the same command goes on."
        )


def _job(request: Request) -> _Job:
    payload = orjson.dumps(request.body, option=orjson.OPT_SORT_KEYS)
    return _Job(request, payload, request.attempt, request.final_failures)


def wait_s(tries: int, asked_s: float | None) -> float:
    """As long as was asked for, else exponential back-off; jittered, so that waits spread out."""
    if asked_s is not None:
        return asked_s + random.uniform(0.0, 0.1)
    most = min(LONGEST_BACK_OFF_S, BACK_OFF_S * 2 ** (tries - 1))
    return most * random.uniform(0.5, 1.0)


def _row(
    job: _Job, verdict: Verdict, cost: float | None, called_at: datetime, latency_ms: float
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
