"""An OpenAI-compatible server that fails as told: each prompt carries the list of its faults.

A prompt such as "a cat [500,hang]" gets a 500, then no answer, then good answers.  `[wrong*]` never
ends.  Real HTTP on a free port of localhost, in the loop of the test.
"""

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
FAULTS = re.compile(r"\[([\w,*+]+)\]")


def proposal(prompt: str) -> dict[str, Any]:
    return {
        "kind": "add",
        "instruction": "put a hat on it",
        "target_prompt": f"{prompt}, with a red hat",
        "intent": "a picture with a red hat",
        "keep": [],
        "add": ["red hat"],
        "remove": [],
    }


class FaultyServer:
    def __init__(self) -> None:
        self.base_url = ""
        self.seen: Counter[str] = Counter()
        self.keys: set[str] = set()
        self.in_flight = self.most_in_flight = 0
        self.capacity: int | None = None  # more in flight than this get 503
        self.latency_s = 0.0
        self.usage: dict[str, int] | None = USAGE
        self.bytes_sent = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        self.keys.add(request.headers.get("Authorization", ""))
        prompt = json.loads(body["messages"][-1]["content"])["prompt"]
        fault = self.fault(prompt)
        self.seen[prompt] += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self.capacity is not None and self.in_flight > self.capacity:
                fault = "503"
            else:
                await asyncio.sleep(self.latency_s)
            return await self.answer(request, fault, prompt)
        finally:
            self.in_flight -= 1

    def fault(self, prompt: str) -> str:
        found = FAULTS.search(prompt)
        faults = found.group(1).split(",") if found else []
        if faults and faults[-1].endswith("*"):
            return faults[min(self.seen[prompt], len(faults) - 1)].rstrip("*")
        return faults[self.seen[prompt]] if self.seen[prompt] < len(faults) else "ok"

    async def answer(self, request: web.Request, fault: str, prompt: str) -> web.StreamResponse:
        good = json.dumps({"proposals": [proposal(prompt)]})
        if fault.isdigit():
            return self.error(int(fault), "it said no")
        match fault:
            case "429after":
                return self.error(429, "slow down", {"Retry-After": "0.3"})
            case "quota":
                return self.error(429, "pay first", code="insufficient_quota")
            case "echo":
                said = f"bad key: {request.headers['Authorization']}" + "x" * 440
                return self.error(500, said + request.headers["Authorization"])
            case "echo401":
                return self.error(401, f"wrong: {request.headers['Authorization']}")
            case "echo_answer":
                key = request.headers["Authorization"].removeprefix("Bearer ")
                return self.completion(good.replace("a red hat", key))
            case "hang":
                await asyncio.sleep(60)
            case "drip":
                return await self.stream(request, b" ", 1_000_000, pause_s=0.02)
            case "drop":
                assert request.transport
                request.transport.abort()
            case "cut":
                return self.completion(good[:40], finish="length")
            case "truncated":
                return self.completion(good[:40])
            case "half_body":
                return web.Response(body=b'{"choices": [{"mess', content_type="application/json")
            case "html":
                return web.Response(text="<html>Welcome to the hotel</html>")
            case "wrong":
                return self.completion('{"edits": []}')
            case "none":
                return self.completion('{"proposals": []}')
            case "surrogate":
                return self.completion(good.replace("a red hat", "\\ud800"))
            case "empty":
                return self.completion("")
            case "null":
                return self.completion(None)
            case "refusal":
                return self.completion(None, refusal="I cannot help with that")
            case "filter":
                return self.completion(None, finish="content_filter")
            case "million":
                return await self.stream(request, b"x" * 50_000, 100)
        return self.completion(good)

    def completion(
        self, content: str | None, finish: str = "stop", refusal: str | None = None
    ) -> web.Response:
        message = {"role": "assistant", "content": content, "refusal": refusal}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        data = {"id": "1", "model": "fake", "choices": [choice]}
        return web.json_response(data | ({"usage": self.usage} if self.usage else {}))

    def error(
        self,
        status: int,
        message: str,
        headers: dict[str, str] | None = None,
        code: str | None = None,
    ) -> web.Response:
        error = {"message": message, "type": "error", "code": code}
        return web.json_response({"error": error}, status=status, headers=headers)

    async def stream(
        self, request: web.Request, chunk: bytes, number: int, pause_s: float = 0.0
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"choices": [{"message": {"content": "')
        for _ in range(number):
            await response.write(chunk)
            self.bytes_sent += len(chunk)
            await asyncio.sleep(pause_s)
        return response


@asynccontextmanager
async def faulty_server() -> AsyncIterator[FaultyServer]:
    server = FaultyServer()
    app = web.Application(client_max_size=1 << 24)
    app.router.add_post("/v1/chat/completions", server.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base_url = f"http://{host}:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
