"""An OpenAI-compatible endpoint as the model that rewrites: `vllm serve`, any provider, a test.

Plain HTTP with streaming; an endpoint that cannot stream is asked again without.  No redirect is
followed (the key would arrive at another host) and no answer is read beyond what a prompt can be.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from schemas.chatting import EndpointSettings
from schemas.errors import EndpointError, SettingsError

MAX_BYTES = 1 << 20  # of an answer
CONNECT_S = 10.0


def ask(
    settings: EndpointSettings,
    messages: Sequence[dict[str, Any]],
    max_tokens: int = 256,
    seed: int | None = None,
) -> Iterator[str]:
    """Pieces of the answer as they come; `seed` for those that are drawn.

    Raises EndpointError, which never shows the key.
    """
    import httpx

    url, headers = _address(settings)
    body = {
        "model": settings.model,
        "messages": list(messages),
        "temperature": settings.temperature,
        "max_tokens": max_tokens,
        "stream": True,
    }
    if seed is not None:
        body["seed"] = seed
    timeout = httpx.Timeout(settings.timeout_s, connect=min(CONNECT_S, settings.timeout_s))
    try:
        with httpx.Client(timeout=timeout, headers=headers, trust_env=True) as client:
            with client.stream("POST", url, json=body) as response:
                refused = _refused(response, url, settings)
                if refused is None:
                    yield from _pieces(response)
                    return
            if "stream" not in str(refused).lower():
                raise refused
            with client.stream("POST", url, json=body | {"stream": False}) as response:
                refused = _refused(response, url, settings)
                if refused:
                    raise refused
                yield _content(_read(response), "message")
    except httpx.TimeoutException:
        raise EndpointError(
            f"The endpoint at {_public(url)} did not answer within {settings.timeout_s:g} s: try "
            "again, or raise chat.endpoint.timeout_s."
        ) from None
    except httpx.HTTPError as error:
        raise EndpointError(
            f"The endpoint at {_public(url)} cannot be reached ({error}): see that it runs, then "
            "send the same again. Your session is kept."
        ) from None


def _address(settings: EndpointSettings) -> tuple[str, dict[str, str]]:
    url = (settings.base_url or "").rstrip("/").removesuffix("/chat/completions")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise SettingsError(
            f"The endpoint {_public(url)!r}: write it as http://host:port/v1, without a user or "
            f"password; a key goes into the variable {settings.api_key_env}."
        )
    key = os.environ.get(settings.api_key_env, "").strip()
    headers = {"Accept-Encoding": "identity"}
    return f"{url}/chat/completions", headers | ({"Authorization": f"Bearer {key}"} if key else {})


def _public(url: str) -> str:
    return url.split("?")[0].rpartition("@")[2]


def _refused(response: Any, url: str, settings: EndpointSettings) -> EndpointError | None:
    """The error that a status other than 200 means."""
    if response.status_code == 200:
        return None
    said = _read(response)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = str(json.loads(said)["error"]["message"])
    hint = {
        401: f"put a valid key into the variable {settings.api_key_env}",
        403: f"put a valid key into the variable {settings.api_key_env}",
        404: f"check the address and the model name {settings.model!r}",
        429: "it has too much to do: wait a moment, then send the same again",
    }.get(response.status_code, "look at what it says, then send the same again")
    return EndpointError(
        f"The endpoint at {_public(url)} answered {response.status_code}: {said[:200]!r}; {hint}."
    )


def _read(response: Any) -> str:
    parts, size = [], 0
    for chunk in response.iter_bytes():
        size += len(chunk)
        if size > MAX_BYTES:
            raise EndpointError("The endpoint's answer is longer than any prompt: not read on.")
        parts.append(chunk)
    return b"".join(parts).decode("utf-8", "replace")


def _pieces(response: Any) -> Iterator[str]:
    """Server-sent events, or one JSON object from an endpoint that does not stream after all."""
    if "event-stream" not in response.headers.get("content-type", ""):
        yield _content(_read(response), "message")
        return
    size, ended = 0, False
    for line in response.iter_lines():
        size += len(line)
        if size > MAX_BYTES:
            raise EndpointError("The endpoint's answer is longer than any prompt: not read on.")
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:"):
            continue
        if data == "[DONE]":
            ended = True
            break
        piece = _content(data, "delta")
        if piece:
            yield piece
    if not ended and size == 0:
        raise EndpointError("The endpoint closed the connection without an answer: try again.")


def _content(data: str, part: str) -> str:
    try:
        answer = json.loads(data)
        if "error" in answer:
            said = answer["error"]
            raise EndpointError(
                f"The endpoint broke off: {str(said)[:200]!r}; send the same again."
            )
        choices = answer["choices"]
        found = choices[0].get(part) or {} if choices else {}
        if found.get("refusal"):
            raise EndpointError(f"The endpoint's model refused: {str(found['refusal'])[:200]!r}.")
        return str(found.get("content") or "")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise EndpointError(
            f"The endpoint's answer is no chat completion: {data[:120]!r}. Is it OpenAI-compatible?"
        ) from None
