"""What came back from a teacher: one verdict for each attempt, whatever went wrong.

`ok`; `transient` (429, 5xx, time-outs, lost connections, something that is no chat completion);
`refusal` (a refusal, a content filter, a request that the endpoint rejects); `schema` (empty, cut
off, too long, not what was asked for).  Leaves out what to do about it: `client` retries.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import orjson

from models.teacher.budget import guess_tokens
from models.teacher.connection import most_bytes
from schemas.settings import TeacherSettings

MAX_ERROR = 500  # characters of an error that are kept
LONGEST_RETRY_AFTER_S = 60.0  # our choice: who asks for more is not overloaded but closed
UNUSABLE = {
    401: "refuses the key",
    402: "wants to be paid first",
    403: "forbids this key or model",
    404: "does not know this path or model",
    405: "does not take chat completions",
}

Read = Callable[[str], Any]  # raises ValueError for an answer of the wrong schema


class Verdict(NamedTuple):
    """What became of one attempt; tokens are None where nobody knows whether it was billed."""

    status: str
    error: str | None = None
    answer: str | None = None
    model: str | None = None
    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    retry_after_s: float | None = None
    overloaded: bool = False
    unusable: str | None = None  # why the endpoint as a whole seems of no use
    asking_again_is_vain: bool = False


def of_exception(error: BaseException, settings: TeacherSettings, key: str) -> Verdict:
    """The verdict of an attempt that raised.  Raises `error` again if it is none of the known."""
    from httpx2 import ConnectError
    from openai import APIConnectionError, APIStatusError

    from models.teacher.lean_http import AnswerTooLong

    if isinstance(error, APIStatusError):
        text = redacted(error.response.text, key)
        return of_status(error.status_code, error.response.headers, text)
    if isinstance(error, AnswerTooLong):
        return too_long(settings)
    causes = _causes(error)
    if any(isinstance(cause, TimeoutError) for cause in causes):
        said = f"no answer within {settings.timeout_s:g} s"
        unusable = "does not answer in time"
        return Verdict("transient", said, None, None, None, None, None, True, unusable)
    if isinstance(error, APIConnectionError):
        said = _clip(redacted(f"connection: {type(causes[-1]).__name__}: {causes[-1]}", key))
        if any(isinstance(cause, ConnectError) for cause in causes):
            return Verdict("transient", said, unusable="cannot be reached")
        return Verdict("transient", said, None, None, None, None)
    raise error


def of_status(status: int, headers: Mapping[str, str], text: str) -> Verdict:
    """The verdict of an HTTP error."""
    error = _clip(f"HTTP {status}: {text}")
    wait = retry_after_s(headers)
    code = _code(text)
    if status == 429 and code in ("insufficient_quota", "billing_hard_limit_reached"):
        return Verdict("transient", error, unusable="has no quota left", asking_again_is_vain=True)
    if wait is not None and wait > LONGEST_RETRY_AFTER_S:
        said = f"asks to come back in {wait:.0f} s"
        return Verdict("transient", error, unusable=said, asking_again_is_vain=True)
    if status in (408, 429, 503, 504, 529):
        return Verdict("transient", error, retry_after_s=wait, overloaded=True)
    if status in UNUSABLE:
        said = UNUSABLE[status]
        return Verdict("transient", error, unusable=said, asking_again_is_vain=True)
    if status == 400 and code == "content_filter":
        return Verdict("refusal", error)
    if 400 <= status < 500 and status not in (409, 425):
        said = "rejects the requests"
        return Verdict("refusal", error, unusable=said, asking_again_is_vain=True)
    if status < 400:
        return Verdict("transient", error, unusable="sends requests elsewhere")
    return Verdict("transient", error, retry_after_s=wait)


def too_long(settings: TeacherSettings) -> Verdict:
    """An answer without an end: paid in full, as far as anybody knows."""
    said = f"an answer of more than {most_bytes(settings):,} bytes: reading stopped there"
    return Verdict("schema", said, None, None, None, None)


def of_answer(content: bytes, asked_bytes: int, read: Read) -> Verdict:
    """Read a chat completion; `read` gets its text.

    Tokens are the endpoint's own count, or, where it gives none, a guess from `asked_bytes` and
    the answer's length: a budget must not run on for want of a count.
    """
    try:
        data = orjson.loads(content)
        choice = data["choices"][0]
        message, finish = choice["message"], choice.get("finish_reason")
        text, refusal = message.get("content"), message.get("refusal")
        paid = {"model": _text(data.get("model")), **_usage(data, asked_bytes, text)}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        said = _clip(f"not a chat completion ({type(error).__name__}): {content[:300]!r}")
        return Verdict(
            "transient", said, None, None, None, None, unusable="gives no chat completions"
        )
    if refusal or finish == "content_filter":
        said = _clip(str(refusal or "content filter"))
        return Verdict("refusal", said, answer=_text(text), **paid)
    if finish == "length":
        return Verdict("schema", "cut off: the limit of tokens", answer=_text(text), **paid)
    if not isinstance(text, str) or not text.strip():
        return Verdict("schema", "the answer is empty", **paid)
    try:
        read(text)
    except ValueError as error:
        return Verdict("schema", _clip(_why(error)), answer=text, **paid)
    return Verdict("ok", None, answer=text, **paid)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds that an answer asks to wait: `retry-after-ms`, `Retry-After` in seconds or a date."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after")
    try:
        if milliseconds is not None:
            wait = float(milliseconds) / 1000
        elif value is None:
            return None
        elif value.strip()[:1].isdigit():
            wait = float(value)
        else:
            wait = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(wait, 0.0) if wait == wait else None  # not NaN


def redacted(text: str, key: str) -> str:
    """The text without the key, should the endpoint have echoed it.

    Keys of fewer than five characters ("none", "x") are no secrets, but they are words.
    """
    return text.replace(key, "[key]") if len(key) >= 5 else text


def without_key(verdict: Verdict, key: str) -> Verdict:
    """The verdict with the key redacted in all its texts."""
    texts = [text and redacted(text, key) for text in verdict[1:4]]
    return verdict._replace(error=texts[0], answer=texts[1], model=texts[2])


def _usage(data: Mapping[str, Any], asked_bytes: int, text: Any) -> dict[str, int]:
    usage = data.get("usage") or {}
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or prompt < 0:
        prompt = guess_tokens(asked_bytes)
    if not isinstance(completion, int) or completion < 0:
        completion = guess_tokens(len(text) if isinstance(text, str) else 0)
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def _code(text: str) -> str | None:
    """The `code` of an error in OpenAI's shape."""
    try:
        error = orjson.loads(text)["error"]
        return error.get("code") or error.get("type")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _why(error: ValueError) -> str:
    """The first things that were wrong: a pydantic error names them, with a line of links each."""
    details = getattr(error, "errors", None)
    if details is None:
        return str(error)
    listed = details(include_url=False, include_input=False)[:3]
    return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in listed)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _clip(text: str) -> str:
    return " ".join(text.split())[:MAX_ERROR]


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, outermost first."""
    found = [error]
    while (cause := found[-1].__cause__) is not None:
        found.append(cause)
    return found
