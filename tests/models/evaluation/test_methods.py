"""What methods answer: rewriters in their own formats, endpoints up and down, edited pictures."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from models.evaluation.editing import Editor
from models.evaluation.endpoint import endpoint_answers
from models.evaluation.methods import (
    Question,
    best_of,
    load_answerer,
    method_of,
    model_folder,
    pasted,
)
from models.evaluation.rewriters import FORMATS
from schemas.chat import Turn
from schemas.errors import ModelError, SettingsError
from schemas.evaluation import MethodSettings
from schemas.settings import StudentSettings
from tests.models.evaluation.miniatures import gpt2, instruct_pix2pix

STUDENT = StudentSettings(max_new_tokens=6)
QUESTIONS = [
    Question("a red car", "make it blue", "a blue car", "a red car"),
    Question("a cat", "add a dog", None, "a cat"),
]


def method(**settings):
    chosen = MethodSettings(**settings)
    ref = model_folder(chosen.model) if chosen.kind == "rewriter" else None
    return method_of(chosen, STUDENT, "tis", ref)


def test_baselines_answer_by_rule():
    answers = {kind: load_answerer(method(kind=kind), STUDENT)(QUESTIONS)
               for kind in ("raw", "pasted", "teacher")}  # fmt: skip
    assert [a.prompt for a in answers["raw"]] == ["a red car", "a cat"]
    assert answers["pasted"][0].prompt == "a red car, make it blue"
    assert answers["teacher"][0].prompt == "a blue car"
    assert (answers["teacher"][1].prompt, answers["teacher"][1].error) == (
        None, "the case has no target",
    )  # fmt: skip
    later = Question("x", "add a hat", None, "a cat", (Turn("add a dog", "a cat and a dog"),))
    assert pasted(later) == "a cat, add a dog, add a hat"


@pytest.fixture(scope="module")
def rewriter(tmp_path_factory):
    return gpt2(tmp_path_factory.mktemp("gpt2") / "Promptist")


@pytest.mark.parametrize("form", FORMATS)
def test_a_rewriter_answers_what_its_model_says_greedily(rewriter, form):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = method(kind="rewriter", model=str(rewriter), format=form)
    answers = load_answerer(chosen, STUDENT)(QUESTIONS)
    words = AutoTokenizer.from_pretrained(rewriter)
    model = AutoModelForCausalLM.from_pretrained(rewriter).eval()
    ids = words(FORMATS[form].format(prompt="a cat, add a dog"), return_tensors="pt").input_ids
    size = ids.shape[1]
    with torch.inference_mode():
        for _ in range(6):
            best = model(ids).logits[0, -1].argmax()
            ids = torch.cat([ids, best[None, None]], dim=1)
    said = words.decode(ids[0, size:], skip_special_tokens=True).strip()
    assert answers[1].prompt is not None
    assert answers[1].prompt.endswith(said)
    assert answers[1].tokens is not None
    assert answers[1].tokens <= 6


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(ModelError, match="holds no weights"):
        model_folder(str(tmp_path))
    with pytest.raises(SettingsError, match="needs `model`"):
        method_of(MethodSettings(kind="model"), STUDENT, "tis")
    with pytest.raises(SettingsError, match="base_url"):
        method_of(MethodSettings(kind="endpoint", model="m"), STUDENT, "tis")


class Answering(BaseHTTPRequestHandler):
    """Answers with the last user message; a question about dogs is an error."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = body["messages"][-1]["content"]
        refused = "dog" in text
        said = {"error": {"message": "no dogs here"}} if refused else {
            "id": "1", "object": "chat.completion", "created": 0, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": f" {text} "}}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        }  # fmt: skip
        data = json.dumps(said).encode()
        self.send_response(400 if refused else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def test_an_endpoint_answers_and_one_that_refuses_or_is_down_says_why(monkeypatch):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    up = MethodSettings(kind="endpoint", model="m", base_url=url)
    try:
        first, second = endpoint_answers(up, STUDENT, QUESTIONS)
    finally:
        server.shutdown()
        server.server_close()
    assert first.prompt == "Prompt: a red car\nInstruction: make it blue"
    assert (first.tokens, first.finished) == (5, True)
    assert second.prompt is None
    assert "no dogs here" in str(second.error)
    for answer in endpoint_answers(up, STUDENT, QUESTIONS):
        assert "no connection to" in str(answer.error)
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    keyless = MethodSettings(kind="endpoint", model="m", base_url="https://example.org/v1",
                             api_key_env="NO_SUCH_KEY")  # fmt: skip
    assert "set the variable NO_SUCH_KEY" in str(
        endpoint_answers(keyless, STUDENT, QUESTIONS)[0].error
    )


def test_an_edited_picture_depends_on_picture_instruction_and_seed_alone(tmp_path):
    folder = instruct_pix2pix(tmp_path / "ip2p")
    settings = MethodSettings(kind="edit", model=str(folder), steps=2)
    editor = Editor(settings)
    red, blue = (Image.new("RGB", (32, 32), colour) for colour in ("red", "blue"))
    made = editor.edit([red, blue, red], ["add snow"] * 3, [1, 1, 2])
    alone = editor.edit([red], ["add snow"], [1])[0]
    assert made[0].size == (32, 32)
    assert np.abs(np.asarray(made[0], int) - np.asarray(alone, int)).max() <= 1
    assert made[0].tobytes() != made[1].tobytes()
    assert made[0].tobytes() != made[2].tobytes()
    other = method_of(settings.model_copy(update={"image_guidance": 2.0}), STUDENT, "tis")
    same = method_of(settings, STUDENT, "tis")
    assert same.method_id == method_of(settings, STUDENT, "tis").method_id != other.method_id


def test_a_text_to_image_model_is_no_editor(tmp_path):
    from tests.models.tis.miniatures import sd15

    settings = MethodSettings(kind="edit", model=str(sd15(tmp_path / "sd")))
    with pytest.raises(ModelError, match="InstructPix2Pix"):
        Editor(settings)


def test_best_of_keeps_content_first_and_never_what_was_not_rendered():
    nan = float("nan")
    samples = [
        {"integrity": 0.5, "aesthetics": 9.0, "preference": 9.0},
        {"integrity": 1.0, "aesthetics": 1.0, "preference": 1.0},
        {"integrity": 1.0, "aesthetics": 1.0, "preference": 2.0},
        {"integrity": 1.0, "aesthetics": nan, "preference": nan},
    ]
    assert best_of(samples) == 2
    assert best_of(samples[3:]) is None
