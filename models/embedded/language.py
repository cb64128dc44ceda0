"""Step `lm`: tokenizer and base language model of the embedded student.

A `LlamaForCausalLM` of 2.4 M parameters with a byte-level BPE of 3,072 tokens and a chat
template, pretrained on `models.embedded.corpus`: it copies, edits and continues prompts and knows
the shape of a chat, but does not follow instructions.  Matrices are trained with Muon, the rest
with AdamW (our choice).  Leaves out SFT (`models.train`).
`python -m models.embedded lm`, about 12 minutes on one core; figures in the folder's README.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from models.embedded.corpus import SYSTEMS, Document, sample_document
from models.embedded.muon import optimisers
from models.embedded.training import (
    WEIGHTS,
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    write_checksums,
)

FOLDER = WEIGHTS / "lm"
VOCABULARY = 3072  # every token costs time in the output layer; world words are one token each
CONTEXT = 1024  # positions; the training windows are shorter
STEPS = 1000
WINDOW = 160  # tokens of a training sequence: a chat document fits
BATCH = 14
MUON_RATE = 0.02
ADAM_RATE = 3e-3
TOKENIZER_DOCUMENTS = 12_000
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
# Every message ends with eos, so a generated answer stops there.  `generation` marks what a
# completion-only loss is taken over.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] not in ('system', 'user', 'assistant') %}"
    "{{ raise_exception('unknown role ' + message['role']) }}{% endif %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] + eos_token }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def _plain(document: Document) -> str:
    if isinstance(document, str):
        return document
    return "\n".join(message["content"] for message in document)


def build_tokenizer(documents: int = TOKENIZER_DOCUMENTS) -> Any:
    """Train the tokenizer; a leading space is put before each text and removed when decoding."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [decoders.ByteLevel(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*SPECIAL.values(), *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        min_frequency=3,
        show_progress=False,
    )
    generator = random.Random(11)
    texts = (_plain(sample_document(generator)) for _ in range(documents))
    tokenizer.train_from_iterator([*SYSTEMS * 3, *texts], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **SPECIAL, model_max_length=CONTEXT, padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[AddedToken(role, special=True) for role in ROLES],
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(tokenizer: Any) -> Any:
    """An untrained model of this project's size for this tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def encode(tokenizer: Any, document: Document) -> list[int]:
    """Token ids of a document, from bos to eos."""
    if isinstance(document, str):
        ids = tokenizer(document, add_special_tokens=False)["input_ids"]
        return [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    text = tokenizer.apply_chat_template(document, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def windows(tokenizer: Any, seed: int) -> Iterator[torch.Tensor]:
    """Batches (BATCH, WINDOW) of one endless stream of documents, int64."""
    generator = random.Random(seed)
    stream: list[int] = []
    while True:
        while len(stream) < BATCH * WINDOW:
            stream += encode(tokenizer, sample_document(generator))
        chosen, stream = stream[: BATCH * WINDOW], stream[BATCH * WINDOW :]
        yield torch.tensor(chosen).view(BATCH, WINDOW)


def train(steps: int = STEPS) -> Path:
    """Train or go on training; returns the folder of the finished weights."""
    torch.manual_seed(0)
    log = Log("lm")
    tokenizer = _tokenizer()
    model = build_model(tokenizer).to(device())
    pair = optimisers(model, MUON_RATE, ADAM_RATE)
    path = home() / "checkpoints" / "lm.pt"
    state = load_checkpoint(path)
    step = 0
    if state:
        step = state["step"]
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(pair, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    total = 0.0
    for ids in windows(tokenizer, seed=1000 + step):
        if step >= steps:
            break
        scale = learning_rate(step, steps, 1.0, warmup=40, decay=0.5)
        for optimiser, peak in zip(pair, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * scale
        ids = ids.to(device())
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad()
        total += loss.item()
        step += 1
        if step % 50 == 0 or step == steps:
            log(step=step, loss=total / 50, tokens=step * BATCH * WINDOW)
            total = 0.0
        if step % 100 == 0 or step == steps:
            saved = {"step": step, "model": model.state_dict()}
            save_checkpoint(path, {**saved, "optimisers": [o.state_dict() for o in pair]})
        if step % 250 == 0:
            export(model, tokenizer)  # usable, if unfinished, while the training runs
    return export(model, tokenizer)


def _tokenizer() -> Any:
    """The tokenizer of the run in progress, trained now if need be: it must never change in it."""
    from transformers import PreTrainedTokenizerFast

    folder = home() / "lm-tokenizer"
    if not (folder / "tokenizer.json").exists():
        build_tokenizer().save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def export(model: Any, tokenizer: Any) -> Path:
    """Save the `transformers` folder, weights in fp16."""
    deepcopy(model).half().save_pretrained(FOLDER, safe_serialization=True)
    tokenizer.save_pretrained(FOLDER)
    write_checksums(FOLDER)
    return FOLDER


def load(folder: Path = FOLDER) -> tuple[Any, Any]:
    """(model in float32, tokenizer) of the shipped base."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)
