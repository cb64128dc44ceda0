"""HTTP for the `openai` client, straight on aiohttp: one POST, one body, no more.

The client's own aiohttp backend goes through all of httpx2 (redirects, cookies, authentication,
streams, three parses of the URL), which is half of its CPU at 300 requests a second; a teacher
needs none of that.  Here too the body's size is capped while it is read.  Proxies of the
environment work.  Left out on purpose: redirects (a POST would arrive as a GET, and the key at
another host), cookies, streaming.
"""

from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
from multidict import CIMultiDict

# A request to here is answered here: the first one makes the client ask, in a thread, which
# platform it is on, and import what it imports late.  Sixty-four first ones would do so at once.
WARM_UP = httpx2.URL("http://warm-up.invalid/")


class AnswerTooLong(Exception):
    """The body has more bytes than an answer can have; reading stopped there."""


class _Nowhere(httpx2.AsyncBaseTransport):
    """httpx2 sends nothing by itself; a real transport would load certificates for it."""


class LeanHttp(httpx2.AsyncClient):
    """What `openai` asks of its `http_client`; to be made inside the running loop.

    `timeout_s` and `connect_s` are in seconds; `send` reads `most_bytes` at most.
    """

    def __init__(self, base_url: str, timeout_s: float, connect_s: float, most_bytes: int) -> None:
        super().__init__(transport=_Nowhere(), trust_env=False, timeout=timeout_s)
        self._most_bytes = most_bytes
        self._headers, self._sent = httpx2.Headers(), CIMultiDict[str]()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the throttle is the limit
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=connect_s),
            # Not `trust_env`: it looks into ~/.netrc for each request, in another thread.
            proxy=_proxy_for(base_url),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    def build_request(self, method: str, url: Any, **options: Any) -> httpx2.Request:
        """The first request of an address, with the headers of `openai` and none of httpx2's."""
        content, headers = options.get("content"), options.get("headers")
        return httpx2.Request(method, httpx2.URL(url), headers=headers, content=content)

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The whole response.  Raises httpx2's errors, and AnswerTooLong."""
        if request.url.host == WARM_UP.host:
            return httpx2.Response(204, request=request)
        if request.headers is not self._headers:  # `lean_client` shares one object between calls
            self._headers, self._sent = request.headers, _to_send(request.headers)
        try:
            async with self._session.request(
                request.method,
                str(request.url),
                data=request.content,
                headers=self._sent,
                allow_redirects=False,
            ) as response:
                body = await self._read(response)
                # Of a good answer nobody reads the headers, unless they say how to unpack it.
                plain = response.status == 200 and "Content-Encoding" not in response.headers
                headers = None if plain else response.raw_headers
                return httpx2.Response(
                    response.status, headers=headers, content=body, request=request
                )
        except TimeoutError as error:
            raise httpx2.ReadTimeout(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx2.ConnectError(str(error), request=request) from error
        except (aiohttp.ClientError, ValueError) as error:
            raise httpx2.ReadError(str(error), request=request) from error

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        if response.content_length is not None and response.content_length <= self._most_bytes:
            return await response.read()
        parts, left = [], self._most_bytes
        async for chunk in response.content.iter_any():
            left -= len(chunk)
            if left < 0:
                response.close()
                raise AnswerTooLong
            parts.append(chunk)
        return b"".join(parts)

    async def aclose(self) -> None:
        await self._session.close()
        await super().aclose()


def _to_send(headers: httpx2.Headers) -> "CIMultiDict[str]":
    """Without those that aiohttp sets by itself."""
    own = ("host", "content-length", "connection")
    return CIMultiDict((name, value) for name, value in headers.multi_items() if name not in own)


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL, if any."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")
