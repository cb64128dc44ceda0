"""The `openai` client without building every request anew.

All requests of a run go to one address with the same headers; only the body differs.  The client
merges, validates and normalises those headers and parses that address for each call, which is half
of its CPU at 300 requests a second.  Here the first request of an address is built by the client
itself and lends everything but its body to those that follow: by `_build_request`, which
`openai.lib.azure` overrides as well.  Errors, status checks and what is returned stay the client's.

Leaves out: retries (the caller's; the header that counts them is that of the first request).
"""

from typing import Any

import httpx2
from openai import AsyncOpenAI
from openai._models import FinalRequestOptions


class Reused(httpx2.Request):
    """A request like `first`, with `content` for a body; method, URL and headers are shared."""

    def __init__(self, first: httpx2.Request, content: bytes) -> None:
        self.method, self.url, self.headers = first.method, first.url, first.headers
        self.extensions: dict[str, Any] = {}
        self.stream = httpx2.ByteStream(content)
        self._content = content


class LeanOpenAI(AsyncOpenAI):
    """An `AsyncOpenAI` for many bodies to few addresses."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._first: dict[str, httpx2.Request] = {}
        # Copied, for making one anew copies every default deeply.
        self._post = FinalRequestOptions.model_construct(method="post", url="")

    async def send(self, url: str, content: bytes) -> httpx2.Response:
        """POST `content`; raises what `AsyncOpenAI.post` raises."""
        options = self._post.model_copy(update={"url": url, "content": content})
        return await self.request(httpx2.Response, options)

    def _build_request(
        self, options: FinalRequestOptions, *, retries_taken: int = 0
    ) -> httpx2.Request:
        first = self._first.get(options.url)
        if first is None or not isinstance(options.content, bytes):
            first = super()._build_request(options, retries_taken=retries_taken)
            self._first[options.url] = first
            return first
        return Reused(first, options.content)
