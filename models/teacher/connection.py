"""The connection to a teacher's endpoint: the `openai` client, its key, and a cap on what is read.

The client is used without its typed `create` and over a transport of ours (`lean_client`,
`lean_http`): as it comes it burns eight times the CPU of plain aiohttp, and the answer is read in
`reply` anyway.
"""

import os
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from schemas.errors import TeacherError
from schemas.settings import TeacherSettings

if TYPE_CHECKING:
    from models.teacher.lean_client import LeanOpenAI

CONNECT_S = 15.0  # our choice: a host that does not accept by then is away
# A token is a few bytes of UTF-8, but six or twelve for a sign that JSON escapes: more than this
# for each token that was allowed is a runaway.
BYTES_A_TOKEN, BYTES_AROUND = 32, 1 << 16
LOCAL = ("localhost", "127.", "[::1]", "::1", "0.0.0.0", "10.", "192.168.")


def most_bytes(settings: TeacherSettings) -> int:
    """Bytes of a response that are read at most."""
    return BYTES_AROUND + BYTES_A_TOKEN * settings.max_completion_tokens


def key_of(settings: TeacherSettings, base_url: str) -> str:
    """The key of the endpoint, "none" for a server on this machine or network that needs none.

    Raises TeacherError, which never shows the key, if it is missing or cannot be a header.
    """
    key = os.environ.get(settings.api_key_env, "").strip()
    if not key and (urlsplit(base_url).hostname or "").startswith(LOCAL):
        return "none"
    if not key:
        raise TeacherError(
            f"The teacher at {public(base_url)} needs a key: set the variable "
            f"{settings.api_key_env}, or name another one in teacher.api_key_env."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise TeacherError(
            f"The variable {settings.api_key_env} does not hold a key: it has spaces, line breaks "
            "or signs that no key has. Set it again."
        )
    return key


def url_of(settings: TeacherSettings, base_url: str | None) -> str:
    """The endpoint's base URL.  Raises TeacherError if there is none or it is no http(s) URL."""
    url = base_url or settings.base_url
    if url is None:
        raise TeacherError(
            "No teacher to ask: set teacher.base_url, or start one with `diffchat teacher serve`."
        )
    if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
        raise TeacherError(
            f"teacher.base_url is {public(url)!r}: write it as https://host/v1, the part of the "
            "address before /chat/completions."
        )
    if urlsplit(url).username is not None:
        raise TeacherError(
            "teacher.base_url has a user or password in it: take them out, and put the key into "
            f"the variable {settings.api_key_env}."
        )
    return url.rstrip("/").removesuffix("/chat/completions")


def public(url: str) -> str:
    """The URL without user, password and query, which may be secrets."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


async def connect(settings: TeacherSettings, base_url: str, key: str) -> "LeanOpenAI":
    """An `openai` client that reads no more than `most_bytes` of any answer.

    Retries are the caller's: each attempt must be a row.
    """
    from models.teacher.lean_client import LeanOpenAI
    from models.teacher.lean_http import WARM_UP, LeanHttp

    connect_s = min(CONNECT_S, settings.timeout_s)
    client = LeanOpenAI(
        base_url=base_url,
        api_key=key,
        max_retries=0,
        timeout=settings.timeout_s,
        # What is compressed could not be capped by counting the bytes that come in.
        default_headers={"Accept-Encoding": "identity", "Content-Type": "application/json"},
        http_client=LeanHttp(base_url, settings.timeout_s, connect_s, most_bytes(settings)),
    )
    await client.send(str(WARM_UP), b"")
    return client
