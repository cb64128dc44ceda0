"""A student is loaded complete or refused, and answers the same from the same seed."""

import json
import shutil

import pytest
import torch

from models.train.policy import DEFAULT_TEMPLATE, load_policy, takes_system, without_system
from schemas.chat import SYSTEM, messages_of
from schemas.errors import ModelError
from tests.models.train import toy

ASKED = [messages_of("blue car", "add gold"), messages_of("red tree", "at night")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    student = toy.policy(0)
    path = tmp_path_factory.mktemp("student")
    student.model.save_pretrained(path)
    student.tokenizer.save_pretrained(path)
    return path


def test_answers_depend_on_the_seed_alone_and_not_on_the_batch(folder):
    policy = load_policy(str(folder))
    both = policy.rewrite(ASKED, max_new_tokens=6)
    assert [policy.rewrite([one], max_new_tokens=6)[0] for one in ASKED] == both
    sampled = policy.rewrite(ASKED, n=3, temperature=1.0, seed=5, max_new_tokens=6)
    assert [len(answers) for answers in sampled] == [3, 3]
    before = torch.random.get_rng_state()
    assert policy.rewrite(ASKED, n=3, temperature=1.0, seed=5, max_new_tokens=6) == sampled
    assert policy.rewrite(ASKED, n=3, temperature=1.0, seed=6, max_new_tokens=6) != sampled
    assert torch.equal(torch.random.get_rng_state(), before), "sampling left the process's state"


def test_a_streamed_answer_is_the_greedy_one(folder):
    policy = load_policy(str(folder))
    pieces = list(policy.stream(ASKED[0], max_new_tokens=6))
    assert "".join(pieces).strip() == policy.rewrite(ASKED[:1], max_new_tokens=6)[0][0].prompt


def test_what_does_not_fit_is_refused_with_the_reason(folder, tmp_path):
    short = shutil.copytree(folder, tmp_path / "short")
    data = (short / "model.safetensors").read_bytes()
    (short / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_policy(str(short))
    pickled = shutil.copytree(folder, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickle"):
        load_policy(str(pickled))
    wide = shutil.copytree(folder, tmp_path / "wide")
    file = wide / "tokenizer.json"
    content = json.loads(file.read_text())
    content["model"]["vocab"] |= {f"more{i}": 32 + i for i in range(8)}
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="tokenizer has 40 tokens, the model embeds 32"):
        load_policy(str(wide))


def test_a_conversation_longer_than_the_context_is_refused(folder):
    with pytest.raises(ModelError, match="context of 64"):
        load_policy(str(folder)).rewrite([messages_of("blue car " * 80, "x")])


def test_without_a_template_the_default_one_is_used(folder, tmp_path):
    bare = shutil.copytree(folder, tmp_path / "bare")
    for name in ("chat_template.jinja",):
        (bare / name).unlink(missing_ok=True)
    config = json.loads((bare / "tokenizer_config.json").read_text())
    config.pop("chat_template", None)
    (bare / "tokenizer_config.json").write_text(json.dumps(config))
    policy = load_policy(str(bare))
    assert policy.tokenizer.chat_template == DEFAULT_TEMPLATE
    assert takes_system(policy.tokenizer)


def test_a_template_that_refuses_or_ignores_the_system_role_still_gets_its_text(folder):
    policy = load_policy(str(folder))
    refusing = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}"
    )
    for template in (refusing, "{% for m in messages[1:] %}{{ m['content'] }}{% endfor %}"):
        policy.tokenizer.chat_template = template
        assert not takes_system(policy.tokenizer)
    merged = without_system(ASKED[0])
    assert merged[0]["role"] == "user"
    assert merged[0]["content"].startswith(SYSTEM)
