"""The judge over real HTTP: answers, faults, and a key that stays secret."""

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from models.scorers import describe_scorer, load_scorer
from schemas.errors import ModelError, SettingsError
from schemas.settings import ScorerSettings

KEY = "sk-secret-of-the-test"


class Judge(BaseHTTPRequestHandler):
    """Scores a picture by its mean red; `server.script` holds (status, body) to answer first."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((dict(self.headers), body))
        if self.server.script:
            status, text = self.server.script.pop(0)
        else:
            status, text = 200, answer(f'{{"score": {self._mean_red(body)}}}')
        payload = text.encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0.05")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    @staticmethod
    def _mean_red(body):
        url = body["messages"][0]["content"][1]["image_url"]["url"]
        picture = Image.open(
            io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))
        )
        return round(float(np.asarray(picture)[..., 0].mean()) / 2.55)

    def log_message(self, *_):
        pass


def answer(content):
    return json.dumps({"choices": [{"message": {"content": content}}]})


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Judge)
    server.requests, server.script = [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def judge(server, monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    return load_scorer(settings(f"http://127.0.0.1:{server.server_port}/v1"))


def settings(base_url, model="some-vision-model"):
    return ScorerSettings(
        name="vlm_judge",
        model=model,
        measures="alignment",
        base_url=base_url,
        api_key_env="JUDGE_KEY",
        batch=64,
    )


def shades(*reds):
    return [Image.new("RGB", (8, 8), (red, 0, 0)) for red in reds]


def test_every_picture_gets_its_own_answer(judge, server):
    reds = list(range(0, 250, 5))
    scores = judge.score(shades(*reds), ["a red square"] * len(reds))
    np.testing.assert_array_equal(scores, [round(red / 2.55) for red in reds])
    headers, body = server.requests[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["model"] == "some-vision-model"
    assert "a red square" in body["messages"][0]["content"][0]["text"]


def test_braces_in_an_intent_are_data(judge, server):
    judge.score(shades(100), ["a {red} {0} square"])
    assert "a {red} {0} square" in server.requests[0][1]["messages"][0]["content"][0]["text"]


def test_overload_is_waited_for(judge, server):
    server.script += [(429, "slow down"), (503, "")]
    assert judge.score(shades(255), ["x"])[0] == 100
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "content", ["no number", '{"score": 250}', '{"score": "high"}', "", '{"scor']
)
def test_an_unreadable_answer_is_nan(judge, server, content):
    server.script.append((200, answer(content)))
    assert np.isnan(judge.score(shades(255), ["x"])[0])


def test_a_truncated_body_is_nan(judge, server):
    server.script.append((200, '{"choices": [{"mess'))
    assert np.isnan(judge.score(shades(255), ["x"])[0])


def test_a_refusal_names_endpoint_and_variable_but_not_the_key(judge, server):
    server.script.append((401, "bad key"))
    with pytest.raises(ModelError, match="JUDGE_KEY") as caught:
        judge.score(shades(255), ["x"])
    assert KEY not in str(caught.value)


def test_it_works_inside_a_running_event_loop(judge):
    async def inside():
        return judge.score(shades(255), ["x"])

    import asyncio

    assert asyncio.run(inside())[0] == 100


def test_no_endpoint_is_a_clear_error():
    with pytest.raises(SettingsError, match="base_url"):
        load_scorer(settings(None))


def test_identity_is_of_the_model_not_of_the_address():
    here, there = settings("http://a/v1"), settings("http://b/v1")
    assert describe_scorer(here) == describe_scorer(there)
    other = settings("http://a/v1", model="another")
    assert describe_scorer(here).scorer_id != describe_scorer(other).scorer_id
