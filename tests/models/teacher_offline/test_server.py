"""The offline teacher over real HTTP, and its protocol without."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from models.teacher.answer import Answer, Pairs
from models.teacher.offline import OfflineTeacher, start_offline_teacher
from models.teacher.offline.answering import BadRequest, complete
from models.teacher.recipes import beautify_body, follow_up_body, teacher_body
from schemas.settings import TeacherSettings
from schemas.units import EditKind

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = TeacherSettings(vocabulary={"styles": ("soft shadows", "neon glow")})


@pytest.fixture(scope="module")
def teacher() -> Iterator[OfflineTeacher]:
    with start_offline_teacher() as running:
        yield running


def _content(response: dict[str, Any]) -> str:
    return response["choices"][0]["message"]["content"]


def _post(url: str, data: bytes) -> tuple[int, dict[str, Any]]:
    request = urllib.request.Request(f"{url}/chat/completions", data=data, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_answers_the_openai_client(teacher: OfflineTeacher) -> None:
    client = openai.OpenAI(base_url=teacher.base_url, api_key="none")
    body = teacher_body("a photo of a cat in a park", SETTINGS)
    response = client.chat.completions.create(**body)
    content = response.choices[0].message.content
    assert content is not None
    answer = Answer.model_validate_json(content)
    assert len(answer.proposals) == SETTINGS.proposals
    assert response.usage is not None
    assert response.usage.total_tokens > response.usage.prompt_tokens > 0
    assert [model.id for model in client.models.list()] == ["offline-editor"]


@pytest.mark.parametrize(
    ("data", "said"),
    [(b"not json", "JSON"), (b"[]", "object"), (b'{"messages": []}', "messages"),
     (b'{"messages": [{"role": "system", "content": "x"}]}', "user"),
     (b'{"stream": true, "messages": [{"role": "user", "content": "x"}]}', "stream")],
)  # fmt: skip
def test_says_what_is_wrong(teacher: OfflineTeacher, data: bytes, said: str) -> None:
    status, answer = _post(teacher.base_url, data)
    assert status == 400
    assert said in answer["error"]["message"]


def test_same_body_same_answer_other_temperature_other_answer() -> None:
    body = teacher_body("a red car and a dog in a park", SETTINGS)
    assert complete(body) == complete(dict(reversed(body.items())))
    assert _content(complete(body)) != _content(complete(body | {"temperature": 0.1}))


def test_follow_up_and_pairs() -> None:
    answer = Answer.model_validate_json(_content(complete(follow_up_body("a cat", SETTINGS))))
    assert [proposal.kind for proposal in answer.proposals] == [EditKind.FOLLOW_UP]
    body = beautify_body("a red car", "make it blue", "a blue car", SETTINGS)
    (pair,) = Pairs.model_validate_json(_content(complete(body))).proposals
    assert pair.raw_prompt.startswith("a red car, ")
    assert pair.target_prompt.startswith("a blue car, ")


def test_several_samples_differ() -> None:
    body = teacher_body("a red car and a dog in a park", SETTINGS) | {"n": 3}
    answers = [choice["message"]["content"] for choice in complete(body)["choices"]]
    assert len(set(answers)) == 3


def test_too_few_tokens_end_an_answer_early() -> None:
    body = teacher_body("a red car", SETTINGS) | {"max_completion_tokens": 10}
    response = complete(body)
    assert response["choices"][0]["finish_reason"] == "length"
    assert response["usage"]["completion_tokens"] == 10


def test_refuses() -> None:
    message = complete(teacher_body("a nude child", SETTINGS))["choices"][0]["message"]
    assert message["content"] is None
    assert message["refusal"]


def test_unknown_kind_is_named() -> None:
    text = json.dumps({"prompt": "a cat", "kinds": ["explode"]})
    with pytest.raises(BadRequest, match="explode"):
        complete({"messages": [{"role": "user", "content": text}]})


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '{"prompt": 3}', "\ud800", "{" * 3_000])
def test_any_message_is_answered(text: str) -> None:
    Answer.model_validate_json(
        _content(complete({"messages": [{"role": "user", "content": text}]}))
    )


def test_a_taken_port_is_said() -> None:
    with start_offline_teacher() as running:
        port = running.base_url.rsplit(":", 1)[1].split("/")[0]
        done = subprocess.run(
            [sys.executable, "-m", "models.teacher.offline", "--port", port],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode != 0
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr


def test_dies_with_its_parent() -> None:
    code = (
        "from models.teacher.offline import start_offline_teacher\n"
        "import os, signal\n"
        "with start_offline_teacher() as t:\n"
        "    print(t.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True,
                          timeout=60, check=False)  # fmt: skip
    pid = int(done.stdout)
    for _ in range(100):
        if not _alive(pid):
            return
        time.sleep(0.1)
    raise AssertionError(f"process {pid} outlived its parent")


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")
