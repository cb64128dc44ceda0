"""Rows of a dataset version as examples to train on, tokenised once into an Arrow file.

Each row is one example: the system text, the turns before it, its prompt and instruction, and as
the answer its target prompt, in the student's own chat template.  A follow-up carries the turns
before it as far as the version holds them; a parent that was not accepted leaves a conversation
that begins with the earlier target.  Only the answer has labels.

    written = write_examples(batches, parents, tokenizer, folder / "train.arrow", max_length=256)
    dataset = open_examples(folder / "train.arrow")        # memory-mapped

Rows come in as Arrow batches and go out the same way, so memory does not grow with the version.
An example longer than the context is left out and returned with its length, never cut.
Left out: packing (`models.train.sft`) and anything that knows where rows are stored.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from models.train.template import turn_texts
from schemas.chat import Turn, messages_of
from schemas.units import EditKind

if TYPE_CHECKING:
    from datasets import Dataset

Row = Mapping[str, Any]
HARD_UNITS = 3  # units to add or remove; nearly every case has as many with those to keep
IGNORED = -100  # the label of a token that no loss is taken of
COLUMNS = (
    "triple_id", "parent_triple_id", "raw_prompt", "instruction", "target_prompt", "edit_kind",
    "intent", "units",
)  # fmt: skip
SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("length", pa.int32()),
    ]
)


class Example(NamedTuple):
    """One question with its answer; `conversation` is what `schemas.chat.messages_of` gives."""

    triple_id: str
    conversation: list[dict[str, str]]
    target: str


class TooLong(NamedTuple):
    triple_id: str
    tokens: int


@dataclass
class Written:
    """What became of the rows: examples and tokens in the file, and what was left out."""

    examples: int = 0
    tokens: int = 0
    longest: int = 0
    too_long: list[TooLong] = field(default_factory=list)


def is_hard(row: Row) -> bool:
    """Three or more units to add or remove, or several edits in one instruction."""
    changed = [unit for unit in row["units"] or () if unit["role"] != "keep"]
    return len(changed) >= HARD_UNITS or row["edit_kind"] == EditKind.COMPOUND


def turns_before(row: Row, parents: Mapping[str, Row]) -> tuple[str, list[Turn]]:
    """(first prompt of the conversation, turns before `row`, oldest first).

    `parents` maps triple ids to rows; a chain ends where it is not in there.
    """
    turns: list[Turn] = []
    seen = {row["triple_id"]}
    parent = parents.get(row["parent_triple_id"] or "")
    while parent is not None and parent["triple_id"] not in seen:
        seen.add(parent["triple_id"])
        turns.append(Turn(parent["instruction"], parent["target_prompt"]))
        row, parent = parent, parents.get(parent["parent_triple_id"] or "")
    return row["raw_prompt"], turns[::-1]


def example_of(row: Row, parents: Mapping[str, Row]) -> Example:
    """A row of `published_rows` as an example, with the turns before it."""
    first, history = turns_before(row, parents)
    conversation = messages_of(first, row["instruction"], history)
    return Example(row["triple_id"], conversation, row["target_prompt"])


def tokenise(examples: Iterable[Example], tokenizer: Any) -> list[tuple[list[int], int]]:
    """(token ids of question and answer, how many of them are the question), for each example."""
    texts = [turn_texts(tokenizer, e.conversation, e.target) for e in examples]
    if not texts:
        return []
    # Together in one call: the tokenizer's threads and its crossing from Python pay off.
    ids = tokenizer([t for pair in texts for t in pair], add_special_tokens=False)["input_ids"]
    return [(ids[i] + ids[i + 1], len(ids[i])) for i in range(0, len(ids), 2)]


def write_examples(
    batches: Iterable[pa.RecordBatch],
    parents: Mapping[str, Row],
    tokenizer: Any,
    path: Path,
    max_length: int,
    on_rows: Callable[[int], None] = lambda rows: None,
) -> Written:
    """Tokenise rows (`COLUMNS`) into an Arrow file with `input_ids`, `labels` and `length`.

    The file appears whole or not at all.  Raises ModelError as `turn_texts` does, OSError for a
    full disk.
    """
    written = Written()
    draft = path.with_suffix(".draft")
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_stream(sink, SCHEMA) as writer:
        for batch in batches:
            examples = [example_of(row, parents) for row in batch.to_pylist()]
            kept = []
            for example, (ids, asked) in zip(examples, tokenise(examples, tokenizer), strict=True):
                if len(ids) > max_length:
                    written.too_long.append(TooLong(example.triple_id, len(ids)))
                    continue
                labels = [IGNORED] * asked + ids[asked:]
                kept.append({"input_ids": ids, "labels": labels, "length": len(ids)})
                written.tokens += len(ids)
                written.longest = max(written.longest, len(ids))
            written.examples += len(kept)
            writer.write_batch(pa.RecordBatch.from_pylist(kept, schema=SCHEMA))
            on_rows(len(examples))
    draft.replace(path)
    return written


def open_examples(path: Path) -> "Dataset":
    """The file of `write_examples` as a memory-mapped `datasets.Dataset`."""
    from datasets import Dataset

    return Dataset.from_file(str(path))


def read_published(files: Iterable[Path], split: str | None = None) -> Iterable[pa.RecordBatch]:
    """Record batches (`COLUMNS`) of Parquet files with the columns of `published_rows`.

    Raises SourceError that names the file, if it lacks one of them or a row lacks a value.
    """
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from schemas.errors import SourceError

    for path in files:
        try:
            parquet = pq.ParquetFile(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise SourceError(f"{path} cannot be read as Parquet: {error}") from error
        lost = sorted({*COLUMNS, "split"} - set(parquet.schema_arrow.names))
        if lost:
            raise SourceError(
                f"{path} lacks the column {lost[0]}: a training file has the columns of a "
                "published version, as `diffchat export` writes them."
            )
        for batch in parquet.iter_batches(1_000, columns=[*COLUMNS, "split"]):
            _refuse_gaps(path, batch)
            mine = batch if split is None else batch.filter(pc.field("split") == split)
            if mine.num_rows:
                yield mine.select(list(COLUMNS))


def _refuse_gaps(path: Path, batch: pa.RecordBatch) -> None:
    """What every example is made of is there in every row."""
    from schemas.errors import SourceError

    for name in ("triple_id", "raw_prompt", "instruction", "target_prompt", "split"):
        if batch[name].null_count:
            row = batch[name].is_null().to_pylist().index(True)
            raise SourceError(
                f"{path}: {name} is null in the row of triple "
                f"{batch['triple_id'][row].as_py()!r}: fill it in, or leave the row out."
            )
