"""What a build will cost, beforehand: calls, tokens, money and time, each with an interval.

Tokens are guessed from the size of the requests themselves, of which a sample is enough; calls that
were paid before say how many bytes make a token here, how long answers are, how many attempts one
takes and how long it lasts.  With `ENOUGH` of them the interval is theirs (a bootstrap of the
means, 95%), without it is wide on purpose: our choice, from public tokenizers on English.

Leaves out where past calls come from (the caller passes them in), discounts for cached prompts, and
what else a build takes.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from schemas.settings import TeacherSettings

ENOUGH = 20  # past calls of the same model
RESAMPLES = 400
BYTES_A_TOKEN = (3.0, 4.0, 5.0)  # of English and JSON, for prompt and answer
BYTES_A_PROPOSAL = (250, 450, 900)  # instruction, intent, units and keys; the target comes on top
ATTEMPTS_A_CALL = (1.0, 1.03, 1.2)
LATENCY_S = (0.5, 4.0, 20.0)


class Interval(NamedTuple):
    """The likely value, and the bounds it should stay within in 19 builds of 20."""

    low: float
    likely: float
    high: float

    def times(self, other: "Interval | float") -> "Interval":
        if not isinstance(other, Interval):
            other = Interval(other, other, other)
        return Interval(*(a * b for a, b in zip(self, other, strict=True)))

    def plus(self, other: "Interval") -> "Interval":
        return Interval(*(a + b for a, b in zip(self, other, strict=True)))


class PastCall(NamedTuple):
    """An answered call: a row of `teacher_calls`; `attempts` it took, all statuses together."""

    request_bytes: int
    prompt_tokens: int
    completion_tokens: int
    latency_ms: float
    attempts: int = 1


class Estimate(NamedTuple):
    """Of `calls` calls; money in US dollars, time in seconds at the settings' concurrency."""

    calls: int
    attempts: Interval
    prompt_tokens: Interval
    completion_tokens: Interval
    usd: Interval
    seconds: Interval
    from_past_calls: int  # 0: guessed from the size of the requests alone
    over_budget: bool  # whether the likely cost is above the settings' caps


def estimate(
    sample: Sequence[Mapping[str, Any]],
    calls: int,
    settings: TeacherSettings,
    past: Sequence[PastCall] = (),
) -> Estimate:
    """Cost of `calls` calls like the request bodies of `sample` (some hundreds are enough).

    Raises ValueError if there are calls to make and no sample of them.
    """
    if calls and not sample:
        raise ValueError(f"{calls} calls cannot be estimated without a sample of their requests")
    sizes = [len(orjson.dumps(body)) for body in sample]
    size = sum(sizes) / len(sizes) if sizes else 0.0
    known = len(past) >= ENOUGH
    if known:
        attempts = _mean(past, lambda call: call.attempts)
        prompt = _ratio(past, lambda call: (call.prompt_tokens, call.request_bytes)).times(size)
        completion = _mean(past, lambda call: call.completion_tokens)
        latency = _mean(past, lambda call: call.latency_ms / 1000)
    else:
        attempts = Interval(*ATTEMPTS_A_CALL)
        prompt = Interval(*(size / bytes_ for bytes_ in reversed(BYTES_A_TOKEN)))
        completion = _answer_tokens(sample, settings)
        latency = Interval(*LATENCY_S)
    per_build = attempts.times(calls)
    prompt_tokens, completion_tokens = prompt.times(per_build), completion.times(per_build)
    price = settings.price
    usd = prompt_tokens.times(price.prompt / 1e6).plus(
        completion_tokens.times(price.completion / 1e6)
    )
    tokens = prompt_tokens.plus(completion_tokens).likely
    return Estimate(
        calls=calls,
        attempts=per_build,
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        usd=usd,
        seconds=latency.times(per_build).times(1 / max(1, min(settings.concurrency, calls))),
        from_past_calls=len(past) if known else 0,
        over_budget=(settings.max_tokens is not None and tokens > settings.max_tokens)
        or (settings.max_usd is not None and usd.likely > settings.max_usd),
    )


def _answer_tokens(sample: Sequence[Mapping[str, Any]], settings: TeacherSettings) -> Interval:
    """Tokens of an answer: each proposal repeats the prompt, and says some things about it."""
    if not sample:
        return Interval(0.0, 0.0, 0.0)
    subjects = [len(body["messages"][-1]["content"].encode()) for body in sample]
    subject = sum(subjects) / len(subjects)
    found = [
        min(settings.max_completion_tokens, settings.proposals * (subject + around) / bytes_)
        for around, bytes_ in zip(BYTES_A_PROPOSAL, reversed(BYTES_A_TOKEN), strict=True)
    ]
    return Interval(*found)


def _mean(past: Sequence[PastCall], of: Callable[[PastCall], float]) -> Interval:
    return _ratio(past, lambda call: (of(call), 1.0))


def _ratio(past: Sequence[PastCall], of: Callable[[PastCall], tuple[float, float]]) -> Interval:
    """Sum over sum, with the 2.5% and 97.5% points of its bootstrap, which is always the same."""
    pairs = [of(call) for call in past]
    rng = random.Random(len(pairs))
    found = sorted(_quotient(rng.choices(pairs, k=len(pairs))) for _ in range(RESAMPLES))
    edge = RESAMPLES // 40
    return Interval(found[edge], _quotient(pairs), found[-edge - 1])


def _quotient(pairs: Sequence[tuple[float, float]]) -> float:
    return sum(a for a, _ in pairs) / max(sum(b for _, b in pairs), 1e-9)
