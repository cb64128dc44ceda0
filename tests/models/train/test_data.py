"""Rows become examples: their turns before, labels on the answer only, nothing cut in silence."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.train.data import (
    IGNORED,
    example_of,
    open_examples,
    read_published,
    turns_before,
    write_examples,
)
from models.train.template import prepare_tokenizer
from schemas.chat import Turn, messages_of
from schemas.errors import SourceError
from schemas.records import PUBLISHED_ROWS
from tests.models.train.miniatures import NO_SYSTEM, tokenizer


def row(name, raw, instruction, target, parent=None, **more):
    return {
        "triple_id": name,
        "parent_triple_id": parent,
        "raw_prompt": raw,
        "instruction": instruction,
        "target_prompt": target,
        "edit_kind": "add",
        "units": [{"role": "add", "text": "dog"}],
        "split": "train",
    } | more


FIRST = row("1", "a cat", "add a dog", "a cat, a dog")
SECOND = row("2", "a cat, a dog", "make it night", "a cat, a dog, at night", "1")
THIRD = row("3", "a cat, a dog, at night", "add rain", "a cat, a dog, at night, rain", "2")


def test_a_third_turn_carries_the_two_before_it():
    parents = {"1": FIRST, "2": SECOND}
    first, history = turns_before(THIRD, parents)
    assert first == "a cat"
    assert history == [
        Turn("add a dog", "a cat, a dog"),
        Turn("make it night", "a cat, a dog, at night"),
    ]
    assert example_of(THIRD, parents).conversation == messages_of("a cat", "add rain", history)


def test_a_follow_up_whose_parent_is_not_in_the_version_begins_a_conversation():
    example = example_of(SECOND, {})
    assert example.conversation == messages_of("a cat, a dog", "make it night")


def test_parents_that_point_at_each_other_end():
    loop = {"1": FIRST | {"parent_triple_id": "2"}, "2": SECOND}
    assert len(turns_before(SECOND, loop)[1]) == 1


@pytest.mark.parametrize("template", [None, NO_SYSTEM])
def test_labels_are_the_answer_and_its_end_and_nothing_else(tmp_path, template):
    words = prepare_tokenizer(tokenizer(template), "a miniature")
    batch = pa.RecordBatch.from_pylist([FIRST, THIRD])
    parents = {"1": FIRST, "2": SECOND}
    written = write_examples([batch], parents, words, tmp_path / "x.arrow", max_length=10_000)
    examples = open_examples(tmp_path / "x.arrow")
    assert written.examples == len(examples) == 2
    for example, source in zip(examples, (FIRST, THIRD), strict=True):
        labels = [token for token in example["labels"] if token != IGNORED]
        assert words.decode(labels) == f"{source['target_prompt']}</s>"
        assert example["labels"][-len(labels) :] == labels
        assert example["input_ids"][-len(labels) :] == labels
        assert example["length"] == len(example["input_ids"])


def test_examples_longer_than_the_context_are_named_and_left_out(tmp_path):
    long = row("9", "a cat " * 300, "add a dog", "a dog")
    batch = pa.RecordBatch.from_pylist([FIRST, long])
    written = write_examples([batch], {}, tokenizer(), tmp_path / "x.arrow", max_length=200)
    assert written.examples == 1
    assert [(item.triple_id, item.tokens > 300) for item in written.too_long] == [("9", True)]
    assert len(open_examples(tmp_path / "x.arrow")) == 1


def test_parquet_files_of_published_rows(tmp_path):
    rows = [FIRST, SECOND | {"split": "test"}]
    pq.write_table(pa.Table.from_pylist(rows, schema=PUBLISHED_ROWS), tmp_path / "a.parquet")
    found = [r for b in read_published([tmp_path / "a.parquet"], "test") for r in b.to_pylist()]
    assert [r["triple_id"] for r in found] == ["2"]
    assert found[0]["units"] == SECOND["units"]
    everything = read_published([tmp_path / "a.parquet"])
    assert sum(batch.num_rows for batch in everything) == 2


def test_a_row_that_lacks_a_value_is_named(tmp_path):
    rows = [FIRST, SECOND | {"target_prompt": None}]
    columns = {name: [row.get(name) for row in rows] for name in PUBLISHED_ROWS.names}
    schema = pa.schema([field.with_nullable(True) for field in PUBLISHED_ROWS])
    pq.write_table(pa.table(columns, schema=schema), tmp_path / "gap.parquet")
    with pytest.raises(SourceError, match=r"gap\.parquet: target_prompt is null .* triple '2'"):
        list(read_published([tmp_path / "gap.parquet"]))


def test_parquet_files_that_are_none_or_lack_columns_are_named(tmp_path):
    pq.write_table(pa.table({"triple_id": ["1"]}), tmp_path / "short.parquet")
    with pytest.raises(SourceError, match=r"short\.parquet lacks the column edit_kind"):
        list(read_published([tmp_path / "short.parquet"]))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(SourceError, match=r"text\.parquet cannot be read"):
        list(read_published([tmp_path / "text.parquet"]))
