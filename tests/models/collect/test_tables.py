"""CSV, TSV, JSON, JSON lines, Parquet and hub datasets."""

import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.collect import read_source
from models.collect.source import READ_BYTES
from schemas.errors import SourceError
from schemas.settings import SourceSettings
from tests.models.collect.conftest import reasons, texts


def test_csv_takes_quotes_line_breaks_and_commas(read):
    text = 'id,prompt\n1,"a cat, sitting"\n2,"two\nlines"\n3,"a ""big"" dog"\n'
    assert texts(read("p.csv", text)) == ["a cat, sitting", "two\nlines", 'a "big" dog']


def test_csv_records_end_at_line_breaks_only(read):
    text = 'prompt,note\n"a cat",x\u2028y\na\x0bdog\x1c,"z"\n'
    assert texts(read("p.csv", text)) == ["a cat", "a\x0bdog\x1c"]


def test_csv_with_another_delimiter(read):
    assert texts(read("p.csv", "id;caption\n1;a cat, sitting\n")) == ["a cat, sitting"]


def test_an_unbalanced_quote_costs_its_own_line_only(read):
    body = "".join(f"{n},prompt {n}\n" for n in range(200))
    lines = read("p.csv", f'id,prompt\n0,"never closed\n{body}')
    assert reasons(lines) == ["malformed", *[None] * 200]
    assert "never closed" in lines[0].text


def test_many_unbalanced_quotes_do_not_take_long(read):
    body = "".join(f'{n},a "quoted {n}\n{n},"open {n}\n' for n in range(3_000))
    began = time.process_time()
    lines = read("p.csv", f"id,prompt\n{body}")
    assert time.process_time() - began < 10
    assert len(lines) >= 3_000


def test_a_row_with_too_many_fields_is_refused(read):
    assert reasons(read("p.csv", "id,prompt\n1,a cat, sitting\n2,a dog\n\n")) == [
        "malformed",
        None,
        "empty",
    ]


def test_tsv_quotes_are_text(read):
    text = 'Prompt\tNote\na 6" pipe\t\n"starts quoted\tx\n"a ""fine"" day"\t\n"whole"\t\n'
    assert texts(read("p.tsv", text)) == ['a 6" pipe', '"starts quoted', 'a "fine" day', '"whole"']


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.csv", "id,subject\n1,a cat\n"),
        ("p.tsv", "id\tsubject\n1\ta cat\n"),
        ("p.jsonl", '{"id": 1, "subject": "a cat"}\n'),
        ("p.json", '[{"id": 1, "subject": "a cat"}]'),
    ],
)
def test_a_missing_column_lists_those_there_are(read, name, content):
    with pytest.raises(SourceError, match="'id', 'subject'"):
        read(name, content)
    with pytest.raises(SourceError, match=r"no column 'prompt'.*'id', 'subject'"):
        read(name, content, column="prompt")
    assert texts(read(name, content, column="subject")) == ["a cat"]


def test_json_lines_are_refused_one_by_one(read):
    rows = [
        '{"prompt": "a cat"}',
        '{"prompt": "a d',
        "[1, 2]",
        '{"prompt": 7}',
        '{"prompt": null}',
        "",
        '"a bare string"',
        "[" * 100_000,
        '{"prompt": ' + "9" * 10_000 + "}",
        '{"prompt": "a dog"}',
    ]
    lines = read("p.jsonl", "\n".join(rows))
    assert texts(lines) == ["a cat", "a bare string", "a dog"]
    assert reasons(lines)[1:6] == ["malformed", "malformed", "not_text", "no_prompt", "empty"]
    assert reasons(lines)[7:9] == ["malformed", "malformed"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"data": rows}])
def test_json_lists_of_any_layout(read, indent, wrap):
    rows = [{"prompt": 'a "cat", [1] \\ {x}', "tags": [{"a": []}]}, {"prompt": "a dog\nruns"}]
    lines = read("p.json", json.dumps(wrap(rows), indent=indent))
    assert texts(lines) == [row["prompt"] for row in rows]


def test_json_lists_go_on_behind_what_is_broken(read):
    text = '[{"prompt": "a cat"},\n{"prompt": "a d},\n{"prompt": "a bird"},\n{"prompt": "an o'
    lines = read("p.json", text)
    assert texts(lines) == ["a cat", "a bird"]
    assert reasons(lines) == [None, "malformed", None, "malformed"]


def test_json_lines_under_the_name_of_json(read):
    assert texts(read("p.json", '{"prompt": "a cat"}\n{"prompt": "a dog"}\n')) == ["a cat", "a dog"]


def test_a_huge_element_of_a_json_list(read):
    rows = [{"prompt": "a cat"}, {"prompt": "x" * (3 * READ_BYTES)}, {"prompt": "a dog"}]
    lines = read("p.json", json.dumps(rows))
    assert reasons(lines) == [None, "too_long", None]
    assert len(lines[1].text) <= 2_000


@pytest.mark.parametrize("content", ["null", "3", "[]", '"text"', "{}", "   "])
def test_json_without_rows(read, content):
    with pytest.raises(SourceError):
        read("p.json", content)


def test_parquet_reads_the_prompt_column_only(tmp_path):
    path = tmp_path / "p.parquet"
    table = pa.table({"image": [b"\xff" * 9] * 3, "caption": ["a cat", None, "a dog"]})
    pq.write_table(table, path)
    lines = list(read_source(SourceSettings(location=str(path))))
    assert texts(lines) == ["a cat", "a dog"]
    assert reasons(lines) == [None, "no_prompt", None]


def test_parquet_with_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "p.parquet"
    bad = pa.array([b"a cat", b"\xff\xfe", b"a dog"]).view(pa.string())
    pq.write_table(pa.table({"prompt": bad}), path)
    lines = list(read_source(SourceSettings(location=str(path))))
    assert reasons(lines) == [None, "not_text", None]


def test_corrupt_parquet_is_a_source_error(read):
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        read("p.parquet", b"PAR1 and then nothing of the sort")


def test_a_dataset_of_the_hub_format_is_streamed(tmp_path):
    folder = tmp_path / "dataset"
    folder.mkdir()
    rows = "".join(json.dumps({"caption": f"cat {n}", "n": n}) + "\n" for n in range(5))
    (folder / "train.jsonl").write_text(rows)
    source = SourceSettings(location=f"hf://{folder}", licence="MIT")
    lines = list(read_source(source, 3))
    assert [line.text for line in lines] == ["cat 0", "cat 1", "cat 2"]
    with pytest.raises(SourceError, match="no column 'prompt'"):
        list(read_source(source.model_copy(update={"column": "prompt"})))
    with pytest.raises(SourceError, match="split 'nowhere'"):
        list(read_source(source.model_copy(update={"split": "nowhere"})))


def test_a_hub_dataset_that_cannot_be_reached():
    with pytest.raises(SourceError, match="hf://nobody/nothing"):
        list(read_source(SourceSettings(location="hf://nobody/nothing")))
    with pytest.raises(SourceError, match="not a dataset id"):
        list(read_source(SourceSettings(location="hf://a/b/c/d")))


def test_real_files(public_data):
    parti = list(read_source(SourceSettings(location=str(public_data / "parti_prompts.tsv"))))
    pickapic = list(read_source(SourceSettings(location=str(public_data / "pickapic_prompts.txt"))))
    assert reasons(parti) == [None] * 1_632
    assert texts(parti)[0] == "bond"
    assert len(pickapic) > 7_900
