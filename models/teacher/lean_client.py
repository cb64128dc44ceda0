"""The `openai` client without building every request anew.

All requests of a run go to one address with the same headers; only the body differs.  The client
merges, validates and normalises those headers, parses that address and prepares retries for each
call, which is more than half of its CPU at 300 requests a second.  Here the first request of an
address is built by the client itself and lends everything but its body to those that follow; they
go straight to its `http_client`.  What is raised is what the client raises.

Leaves out: retries (the caller's), keys that change during a run.
"""

from typing import Any

import httpx2
from openai import APIConnectionError, APITimeoutError, AsyncOpenAI
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

    async def send(self, url: str, content: bytes) -> httpx2.Response:
        """POST `content`; raises what `AsyncOpenAI.post` raises."""
        request = self._request(url, content)
        try:
            response = await self._client.send(request)
        except httpx2.TimeoutException as error:
            raise APITimeoutError(request=request) from error
        except httpx2.HTTPError as error:
            raise APIConnectionError(request=request) from error
        if not response.is_success:
            raise self._make_status_error_from_response(response)
        return response

    def _request(self, url: str, content: bytes) -> httpx2.Request:
        first = self._first.get(url)
        if first is None:
            options = FinalRequestOptions.construct(method="post", url=url, content=content)
            first = self._first[url] = self._build_request(options)
            return first
        return Reused(first, content)
