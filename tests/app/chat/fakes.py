"""A rewriter of two rules, and an OpenAI-compatible endpoint with it behind: enough to converse.

It swaps a colour or adds what follows "add"; "make it look better" gets finishes; instructions that
begin with a word in `MISBEHAVIOUR` get the answer of a model that misbehaves.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from app.turns import BETTER
from schemas.chat import SYSTEM

COLOURS = "red orange yellow green blue purple pink white".split()  # noqa: SIM905
MISBEHAVIOUR = {
    "ignore": SYSTEM,
    "silence": "   ",
    "endless": "very " * 10_000,
    "quote": 'Prompt: "a green boat at sea"',
}


def rewritten(messages: list[dict[str, str]]) -> str:
    """The answer to a conversation of `schemas.chat`."""
    last = messages[-1]["content"]
    instruction = last.rpartition("Instruction: ")[2]
    told = [m["content"] for m in messages if m["role"] == "assistant"]
    prompt = told[-1] if told else re.search(r"Prompt: (.*)\n", messages[1]["content"])[1]
    if answer := MISBEHAVIOUR.get(instruction.split()[0]):
        return answer
    if instruction == BETTER:
        return f"{prompt}, soft shadows, fine detail"
    if found := re.search(r"\badd (.+)", instruction):
        return f"{prompt}, {found[1]}"
    wanted = next((word for word in instruction.split() if word in COLOURS), None)
    if wanted:
        return re.sub("|".join(COLOURS), wanted, prompt, count=1)
    return prompt


FINISHES = ("golden light", "neon glow", "pastel tones")


def sampled(messages: list[dict[str, str]], seed: int) -> str:
    """One of three other answers, by the seed."""
    return f"{rewritten(messages)}, {FINISHES[seed % len(FINISHES)]}"


class _Answers(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server: FakeEndpoint = self.server  # type: ignore[assignment]
        server.asked.append(body)
        server.may_answer.wait()
        status, said = server.fails or (200, None)
        if body.get("stream") and not server.streams:
            status, said = 400, {"error": {"message": "This server does not stream."}}
        if said is not None:
            return self._send(status, "application/json", json.dumps(said))
        asked = body["messages"]
        answer = sampled(asked, body["seed"]) if "seed" in body else rewritten(asked)
        if not body.get("stream"):
            message = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
            return self._send(200, "application/json", json.dumps(message))
        events = [{"choices": [{"delta": {"content": piece}}]}
                  for piece in re.findall(r"\S+\s*|\s+", answer)]  # fmt: skip
        lines = [f"data: {json.dumps(event)}\n\n" for event in events]
        self._send(200, "text/event-stream", "".join(lines) + "data: [DONE]\n\n")

    def _send(self, status, kind, text):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


class FakeEndpoint(ThreadingHTTPServer):
    """`base_url`; `asked`: the bodies so far; `fails`: (status, body) to answer instead.

    While `may_answer` is cleared, whoever asks waits.
    """

    def __init__(self, streams: bool = True):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.streams, self.fails, self.asked = streams, None, []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.base_url = f"http://127.0.0.1:{self.server_port}/v1"


@contextmanager
def endpoint(streams: bool = True) -> Iterator[FakeEndpoint]:
    server = FakeEndpoint(streams)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
