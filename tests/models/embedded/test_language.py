"""The base language model's tokenizer, template and reading matter, without training anything."""

import itertools
import random

import pytest
import torch

from models.embedded.corpus import sample_document
from models.embedded.english import sample_english
from models.embedded.language import FOLDER, build_model, build_tokenizer, encode
from models.embedded.muon import Muon, orthogonalise
from models.world.edits import sample_edit

CHAT = [
    {"role": "system", "content": "You rewrite prompts."},
    {"role": "user", "content": "a cat\nmake it red"},
    {"role": "assistant", "content": "a red cat"},
]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(documents=400)


def test_any_text_survives_encoding(tokenizer):
    generator = random.Random(1)
    texts = [sample_english(generator) for _ in range(100)]
    texts += [
        "日本語 ☕ Ünïcödé",
        "(word:1.2) BREAK <lora:x:0.5>",
        '"quoted" text',
        "a",
        "1234567890",
    ]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_template_marks_the_completion_and_ends_it(tokenizer):
    encoded = tokenizer.apply_chat_template(
        CHAT, return_dict=True, return_assistant_tokens_mask=True
    )
    marked = [i for i, m in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if m]
    assert tokenizer.decode(marked, skip_special_tokens=True) == "a red cat"
    assert marked[-1] == tokenizer.eos_token_id


def test_generation_prompt_is_a_prefix_of_the_whole_chat(tokenizer):
    asked = tokenizer.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True)
    assert tokenizer.apply_chat_template(CHAT, tokenize=False).startswith(asked)


def test_an_unknown_role_is_refused(tokenizer):
    with pytest.raises(Exception, match="unknown role"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_model_is_a_standard_checkpoint(tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = build_model(tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = torch.tensor([encode(AutoTokenizer.from_pretrained(tmp_path), CHAT)])
    assert torch.allclose(again(ids).logits, model.eval()(ids).logits, atol=1e-5)
    assert sum(p.numel() for p in model.parameters()) < 6e6


def test_documents_never_answer_their_instruction():
    """No chat of the corpus shows the target prompt of the instruction in its question."""
    generator = random.Random(2)
    documents = [sample_document(generator) for _ in range(2000)]
    chats = [document for document in documents if not isinstance(document, str)]
    assert len(chats) > 300
    generator = random.Random(3)
    answered = {example.target_prompt: example for example in
                (sample_edit(generator) for _ in range(2000))}  # fmt: skip
    for chat in chats:
        for question, answer in itertools.pairwise(chat):
            example = answered.get(answer["content"])
            if example and question["role"] == "user":
                assert example.instruction not in question["content"]


def test_muon_steps_are_orthogonal():
    torch.manual_seed(0)
    values = torch.linalg.svdvals(orthogonalise(torch.randn(24, 64)))
    assert values.min() > 0.4
    assert values.max() < 1.5


def test_muon_descends():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.randn(8, 8))
    optimiser = Muon([weight], lr=0.05)
    start = weight.square().sum().item()
    for _ in range(60):
        optimiser.zero_grad()
        weight.square().sum().backward()
        optimiser.step()
    assert weight.square().sum().item() < 0.3 * start


@pytest.mark.skipif(not (FOLDER / "model.safetensors").exists(), reason="no shipped weights")
def test_shipped_model_copies_what_it_has_read():
    from models.embedded.language import load

    model, tokenizer = load()
    line = "two red cats in a meadow at night"
    ids = tokenizer(f"<s>{line}\n{line}\n", return_tensors="pt", add_special_tokens=False)
    with torch.inference_mode():
        out = model.generate(**ids, max_new_tokens=16, do_sample=False)
    answer = tokenizer.decode(out[0, ids.input_ids.shape[1] :], skip_special_tokens=True)
    assert answer.split("\n")[0].strip() == line
