"""What the base language model can do, and what it leaves to fine-tuning, as one table.

* copies: lines of random words, repeated after the model has read them once; whole line right.
* notes: chats that ask by change notes ("- red car; + blue boat"); whole answer right.
* integrity: chats that ask by instruction (`schemas.chat`), greedy answers, content integrity by
  the units of the edit; on all kinds of edit, and on the hard split (three parts, three or more
  units, every second one an unseen combination).  Beside it what repeating the raw prompt scores.

The lines and edits are drawn by a seed of no training.  `--model FOLDER` measures a fine-tuned
model in the same way.  Leaves out pictures.

    python -m benchmarks.base_language [--model FOLDER] [--cases 200]
"""

import argparse
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from models.embedded.corpus import noted_chat, random_words
from models.embedded.language import FOLDER, load
from models.integrity import content_integrity
from models.world.edits import EditExample, sample_edit, sample_hard_edit
from schemas.chat import Turn, messages_of
from schemas.units import EditKind

SEED = 9001
_BATCH = 50


def answers(model: Any, tokenizer: Any, texts: Sequence[str], tokens: int = 48) -> list[str]:
    """Greedy continuations up to eos, in order; texts are encoded without special tokens."""
    found: list[str] = []
    for start in range(0, len(texts), _BATCH):
        batch = tokenizer(
            list(texts[start : start + _BATCH]),
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
            return_token_type_ids=False,
        )
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=tokens, do_sample=False)
        new = out[:, batch["input_ids"].shape[1] :]
        found += tokenizer.batch_decode(new, skip_special_tokens=True)
    return found


def copy_accuracy(model: Any, tokenizer: Any, cases: int) -> float:
    """Share of lines of random words that are repeated word by word."""
    generator = random.Random(SEED)
    lines = [" ".join(random_words(generator)) for _ in range(cases)]
    said = answers(model, tokenizer, [f"{tokenizer.bos_token}{line}\n" for line in lines])
    return sum(a.split("\n")[0].strip() == b for a, b in zip(said, lines, strict=True)) / cases


def note_accuracy(model: Any, tokenizer: Any, cases: int) -> float:
    """Share of chats that ask by change notes and get exactly the noted prompt."""
    generator = random.Random(SEED + 1)
    chats = [noted_chat(generator).messages for _ in range(cases)]
    said = answers(model, tokenizer, [_question(tokenizer, chat[:-1]) for chat in chats])
    return sum(a == chat[-1]["content"] for a, chat in zip(said, chats, strict=True)) / cases


def conversation_of(example: EditExample) -> list[dict[str, str]]:
    """The messages that put this edit to a student."""
    if example.earlier is None:
        return messages_of(example.raw_prompt, example.instruction)
    first, instruction = example.earlier
    history = [Turn(instruction, example.raw_prompt)]
    return messages_of(first, example.instruction, history)


def integrity(model: Any, tokenizer: Any, examples: Sequence[EditExample]) -> list[float]:
    """Content integrity of the greedy answer to each edit."""
    questions = [_question(tokenizer, conversation_of(example)) for example in examples]
    said = answers(model, tokenizer, questions)
    pairs = zip(examples, said, strict=True)
    return [content_integrity(example.units, answer).score for example, answer in pairs]


def plain_edits(cases: int) -> list[EditExample]:
    """Edits of every kind in turn, without unseen combinations."""
    generator, kinds = random.Random(SEED + 2), list(EditKind)
    return [sample_edit(generator, kinds[index % len(kinds)]) for index in range(cases)]


def hard_edits(cases: int) -> list[EditExample]:
    """Edits of the hard split."""
    generator = random.Random(SEED + 3)
    return [sample_hard_edit(generator) for _ in range(cases)]


def figures(folder: Path = FOLDER, cases: int = 200) -> dict[str, float]:
    """Every figure of the table by its name."""
    model, tokenizer = load(folder)
    table = {
        "copies a line of random words": copy_accuracy(model, tokenizer, cases),
        "carries out change notes": note_accuracy(model, tokenizer, cases),
    }
    for name, examples in (("all kinds", plain_edits(cases)), ("hard split", hard_edits(cases))):
        values = integrity(model, tokenizer, examples)
        repeated = [content_integrity(e.units, e.raw_prompt).score for e in examples]
        table[f"content integrity, {name}"] = sum(values) / cases
        table[f"content integrity of the raw prompt, {name}"] = sum(repeated) / cases
        if name == "all kinds":
            for kind in EditKind:
                of_kind = [v for v, e in zip(values, examples, strict=True) if e.kind is kind]
                table[f"content integrity, {kind}"] = sum(of_kind) / max(1, len(of_kind))
    return table


def _question(tokenizer: Any, messages: list[dict[str, str]]) -> str:
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def main() -> None:
    """Print the table of one model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", type=Path, default=FOLDER, help="folder; default: the base")
    parser.add_argument("--cases", type=int, default=200)
    arguments = parser.parse_args()
    print("| figure | value |\n|---|---|")
    for name, value in figures(arguments.model, arguments.cases).items():
        print(f"| {name} | {value:.3f} |")


if __name__ == "__main__":
    main()
