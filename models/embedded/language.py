"""Step `lm`: tokenizer and base language model of the embedded student.

A `LlamaForCausalLM` of 1.9 M parameters with a byte-level BPE of 2,560 tokens and a chat
template, pretrained on `models.embedded.corpus`: it copies, edits and continues prompts and knows
the shape of a chat, but does not follow instructions.  Copying need not be found, it is written
into the initial weights (`models.embedded.circuits`).  Leaves out SFT (`models.train`).
`python -m models.embedded lm`, about 40 minutes on one free core; figures in the folder's README.
"""

import random
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from models.embedded.circuits import write_copying
from models.embedded.corpus import SYSTEMS, Document, Lines, sample_document
from models.embedded.training import (
    WEIGHTS,
    Average,
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    write_checksums,
)

FOLDER = WEIGHTS / "lm"
VOCABULARY = 2560  # every token costs time in the output layer; world words are one token each
WIDTH, INNER, LAYERS, HEADS, HEAD = 192, 256, 4, 4, 64
CONTEXT = 1024  # positions; the documents are much shorter
STEPS = 7500
LATE = 1700  # step from which the late mixture is read
TOKENS = 1024  # of a batch, padding included
POOL = 512  # documents sorted by length at a time
RATE = 2.5e-3
EMBEDDING_RATE = 7e-4  # lower: the copying circuit compares embeddings, and must not lose them
AVERAGE = 0.995  # of the shipped weights over the steps
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
    if isinstance(document, Lines):
        lines = [*document.shown, *document.learned]
    else:
        lines = [message["content"] for message in document.messages]
    return "\n ".join(lines)  # a space before every word, as when a line stands alone


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
    texts = (_plain(sample_document(generator, late=False)) for _ in range(documents))
    tokenizer.train_from_iterator([*SYSTEMS * 3, *texts], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **SPECIAL, model_max_length=CONTEXT, padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[AddedToken(role, special=True) for role in ROLES],
    )  # fmt: skip
    fast.chat_template = CHAT_TEMPLATE
    return fast


def build_model(tokenizer: Any) -> Any:
    """A model of this project's size that can do nothing but copy (`models.embedded.circuits`)."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        head_dim=HEAD,
        attention_bias=True,  # the copying circuit looks back by them
        rope_parameters={"rope_type": "default", "rope_theta": 1e6},  # and compares without place
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    write_copying(model)
    return model


def encode(tokenizer: Any, document: Document) -> tuple[list[int], list[bool]]:
    """Token ids of a document from bos to eos, and which of them a loss is taken over.

    Lines are encoded one by one: a word has the same token wherever it stands.
    """
    if isinstance(document, Lines):
        newline = tokenizer("a\n", add_special_tokens=False)["input_ids"][-1]
        ids, learned = [tokenizer.bos_token_id], [False]
        for number, line in enumerate([*document.shown, *document.learned]):
            new = tokenizer(line, add_special_tokens=False)["input_ids"]
            ids += [newline, *new] if number else new
            learned += [number >= len(document.shown)] * (len(ids) - len(learned))
        return [*ids, tokenizer.eos_token_id], [*learned, True]
    chat = tokenizer.apply_chat_template(
        document.messages, return_dict=True, return_assistant_tokens_mask=document.answers_only
    )
    ids = chat["input_ids"]
    return ids, [bool(m) for m in chat.get("assistant_masks", [0] + [1] * (len(ids) - 1))]


def batches(tokenizer: Any, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (ids, labels), int64 (documents, length), about TOKENS each; unlearned labels -100.

    Documents of like length stand together, so little is padding.  From batch LATE on the late
    mixture is read.
    """
    generator = random.Random(seed)
    step = 0
    while True:
        pool = sorted(
            (encode(tokenizer, sample_document(generator, late=step >= LATE)) for _ in range(POOL)),
            key=lambda item: len(item[0]),
        )
        groups: list[list[tuple[list[int], list[bool]]]] = [[]]
        for item in pool:
            if len(item[0]) * (len(groups[-1]) + 1) > TOKENS and groups[-1]:
                groups.append([])
            groups[-1].append(item)
        step += len(groups)
        for group in generator.sample(groups, len(groups)):
            yield _padded(group, tokenizer.pad_token_id)


def _padded(
    group: list[tuple[list[int], list[bool]]], pad: int
) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(len(ids) for ids, _ in group)
    ids = torch.full((len(group), length), pad)
    labels = torch.full((len(group), length), -100)
    for row, (tokens, learned) in enumerate(group):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        labels[row, : len(tokens)] = torch.where(torch.tensor(learned), torch.tensor(tokens), -100)
    return ids, labels


def loss_of(model: Any, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the learned tokens; logits are computed for these only."""
    hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    learned = wanted != -100
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[learned]), wanted[learned])


def train(steps: int = STEPS, *, warm: bool = False) -> Path:
    """Train or go on training; returns the folder of the finished weights.

    With `warm`, a run without a checkpoint starts from the shipped weights and their tokenizer.
    """
    torch.manual_seed(0)
    log = Log("lm")
    tokenizer = _tokenizer(shipped=warm)
    model = (load()[0] if warm else build_model(tokenizer)).to(device()).train()
    optimiser = _optimiser(model)
    average = Average(model.parameters(), AVERAGE)
    path = home() / "checkpoints" / "lm.pt"
    step = _resume(path, model, optimiser, average)
    total = tokens = 0
    for ids, labels in islice(batches(tokenizer, 1000), step, None):
        if step >= steps:
            break
        scale = learning_rate(step, steps, 1.0, warmup=40, decay=0.4)
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * scale
        loss = loss_of(model, ids.to(device()), labels.to(device()))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        average.update(step)
        total += loss.item()
        tokens += int((ids != tokenizer.pad_token_id).sum())
        step += 1
        if step % 50 == 0:
            log(step=step, loss=total / 50, tokens=tokens)
            total = tokens = 0
        if step % 100 == 0 or step == steps:
            state = {"step": step, "model": model.state_dict(), "average": average.shadow}
            save_checkpoint(path, {**state, "optimiser": optimiser.state_dict()})
        if step % 250 == 0:
            _export_average(model, tokenizer, average)  # usable while the training goes on
    return _export_average(model, tokenizer, average)


def _optimiser(model: Any) -> torch.optim.AdamW:
    embedding = model.get_input_embeddings().weight
    rest = [p for p in model.parameters() if p is not embedding]
    groups = [{"params": rest, "peak": RATE}, {"params": [embedding], "peak": EMBEDDING_RATE}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.97), weight_decay=0.0)


def _resume(path: Path, model: Any, optimiser: torch.optim.Optimizer, average: Average) -> int:
    """Load the checkpoint if there is one; returns the steps done."""
    state = load_checkpoint(path)
    if state is None:
        return 0
    model.load_state_dict(state["model"])
    average.restore(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    return state["step"]


def _export_average(model: Any, tokenizer: Any, average: Average) -> Path:
    average.swap()
    folder = export(model, tokenizer)
    average.swap()
    return folder


def _tokenizer(shipped: bool) -> Any:
    """The tokenizer of the run in progress, shipped or trained now: it must never change in it."""
    from transformers import PreTrainedTokenizerFast

    folder = home() / "lm-tokenizer"
    if not (folder / "tokenizer.json").exists():
        made = PreTrainedTokenizerFast.from_pretrained(FOLDER) if shipped else build_tokenizer()
        made.save_pretrained(folder)
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
