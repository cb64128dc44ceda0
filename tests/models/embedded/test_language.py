"""The base language model: tokenizer, template, copying circuit, corpus, shipped weights."""

import itertools
import random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from models.embedded import language
from models.embedded.circuits import write_copying
from models.embedded.corpus import Chat, Lines, noted_chat, notes_of, sample_document
from models.embedded.english import sample_english
from models.embedded.language import FOLDER, batches, build_model, build_tokenizer, encode, loss_of
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
    ids, _ = encode(AutoTokenizer.from_pretrained(tmp_path), Chat(CHAT, answers_only=True))
    ids = torch.tensor([ids])
    assert torch.allclose(again(ids).logits, model.eval()(ids).logits, atol=1e-5)
    assert sum(p.numel() for p in model.parameters()) < 6e6


def test_an_untrained_model_copies_by_its_circuit(tokenizer):
    torch.manual_seed(0)
    model = build_model(tokenizer).eval()
    generator = torch.Generator().manual_seed(1)
    words = torch.randint(300, len(tokenizer), (16, 24), generator=generator)
    with torch.inference_mode():
        said = model(torch.cat([words, words], dim=1)).logits[:, 24:-1].argmax(-1)
    assert (said == words[:, 1:]).float().mean() > 0.9


def test_the_circuit_is_the_same_every_time(tokenizer):
    models = [build_model(tokenizer) for _ in range(2)]
    for model in models:
        write_copying(model, seed=5)
    first, second = (model.get_input_embeddings().weight for model in models)
    assert torch.equal(first, second)


def test_a_loss_is_taken_over_what_can_be_learned(tokenizer):
    ids, learned = encode(tokenizer, Lines(("a cat", "two dogs"), ("a cat",)))
    kept = [token for token, wanted in zip(ids, learned, strict=True) if wanted]
    assert tokenizer.decode(kept, skip_special_tokens=True).strip() == "a cat"
    ids, learned = encode(tokenizer, Chat(CHAT, answers_only=True))
    kept = [token for token, wanted in zip(ids, learned, strict=True) if wanted]
    assert tokenizer.decode(kept) == "a red cat</s>"


def test_batches_lose_no_document_and_hide_the_padding(tokenizer):
    model = build_model(tokenizer)
    ids, labels = next(batches(tokenizer, seed=3))
    assert ids.shape == labels.shape
    assert ((ids == tokenizer.pad_token_id) <= (labels == -100)).all()
    everything = model(input_ids=ids, labels=labels).loss
    assert loss_of(model, ids, labels).item() == pytest.approx(everything.item(), rel=1e-4)


def test_notes_name_every_change():
    generator = random.Random(0)
    notes = notes_of("a red car in a meadow, dull", "a blue car in a meadow at night", generator)
    text = "; ".join(notes)
    for word in ("red", "blue", "at night", "dull"):
        assert word in text
    assert "meadow" not in text


def test_noted_chats_follow_their_notes():
    """What a note adds is in the answer, so notes can be learned to be carried out."""
    generator = random.Random(4)
    for _ in range(200):
        messages = noted_chat(generator).messages
        question, answer = messages[-2]["content"], messages[-1]["content"]
        for note in question.split("Changes: ")[1].split("; "):
            if note.startswith("+ ") and " - " not in note:
                # a whole phrase may be worded anew around its core
                assert note[2:].split()[-1].strip(",").lower() in answer.lower()


def test_chats_never_obey_an_instruction():
    """No answer of the corpus has anything to do with the instruction beside it."""
    generator = random.Random(2)
    documents = [sample_document(generator) for _ in range(700)]
    chats = [d.messages for d in documents if isinstance(d, Chat) and not d.answers_only]
    assert len(chats) > 40
    targets = {}
    generator = random.Random(3)
    for example in (sample_edit(generator) for _ in range(600)):
        targets.setdefault(example.target_prompt, set()).add(example.instruction)
    for chat in chats:
        for question, answer in itertools.pairwise(chat):
            if question["role"] == "user":
                obeyed = targets.get(answer["content"], set())
                assert not any(instruction in question["content"] for instruction in obeyed)


def test_change_notes_and_instructions_never_meet():
    generator = random.Random(5)
    for document in (sample_document(generator) for _ in range(700)):
        if isinstance(document, Chat):
            text = " ".join(message["content"] for message in document.messages)
            assert not ("Changes:" in text and "Instruction:" in text)


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


shipped = pytest.mark.skipif(
    not (FOLDER / "model.safetensors").exists(), reason="no shipped weights"
)


@pytest.fixture(scope="module")
def base():
    from models.embedded.language import load

    return load()


@shipped
def test_shipped_folder_is_whole_and_loads_plainly():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.weights import config_files, verify, weight_files

    verify(FOLDER, [*weight_files(FOLDER), *config_files(FOLDER)])
    model = AutoModelForCausalLM.from_pretrained(FOLDER)
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    assert model.config.vocab_size == len(tokenizer)
    assert "{% generation %}" in tokenizer.chat_template


@shipped
def test_shipped_model_copies_what_it_has_read(base: tuple[Any, Any]):
    from benchmarks.base_language import copy_accuracy

    assert copy_accuracy(*base, 40) > 0.7


@shipped
def test_shipped_model_carries_out_notes_but_not_instructions(base: tuple[Any, Any]):
    from benchmarks.base_language import hard_edits, integrity, note_accuracy, plain_edits

    assert note_accuracy(*base, 40) > 0.45
    hard, plain = (integrity(*base, edits) for edits in (hard_edits(40), plain_edits(40)))
    assert sum(hard) / 40 < 0.3
    assert sum(plain) / 40 < 0.45


def test_a_training_that_goes_on_reads_what_it_would_have_read(monkeypatch, tmp_path):
    """Killed after a checkpoint, it ends with the weights of a run that was not killed."""
    monkeypatch.setattr(language, "FOLDER", tmp_path / "weights")
    shipped = PreTrainedTokenizerFast.from_pretrained(FOLDER)
    monkeypatch.setattr(language, "_tokenizer", lambda **_: shipped)
    monkeypatch.setattr(language, "POOL", 24)

    def weights(home, *stops):
        monkeypatch.setenv("DIFFCHAT_HOME", str(tmp_path / home))
        for steps in stops:
            language.train(steps)
        return load_file(tmp_path / "weights" / "model.safetensors")

    monkeypatch.setattr(language, "learning_rate", lambda *_, **__: 1.0)
    whole, in_parts = weights("whole", 3), weights("parts", 2, 3)
    for name, tensor in whole.items():
        assert torch.equal(tensor, in_parts[name]), name


def test_a_warm_training_starts_from_what_ships(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFCHAT_HOME", str(tmp_path))
    shipped = load_file(FOLDER / "model.safetensors")
    monkeypatch.setattr(language, "export", lambda model, _: model.state_dict())
    found = language.train(0, warm=True)
    assert all(torch.equal(found[name], tensor.float()) for name, tensor in shipped.items())
