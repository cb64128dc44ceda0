"""Cases from files and data sets: what is derived, what is refused and how it is said."""

import json

import pytest

from models.evaluation.cases import conversations, dataset_cases, numbered, read_cases
from schemas.errors import SourceError


def write(tmp_path, text, name="cases.jsonl"):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_of_two_columns_is_enough(tmp_path):
    path = write(tmp_path, '{"prompt": "a red car at night", "instruction": "make the car blue"}\n')
    [case] = read_cases(path)
    assert case["units_source"] == case["intent_source"] == "rule"
    assert {"role": "add", "text": "blue car"} in case["units"]
    assert "blue car" in case["intent"]
    assert "red" not in case["intent"]
    assert case["target_prompt"] is None


def test_csv_and_jsonl_say_the_same(tmp_path):
    units = [{"role": "add", "text": "hat"}]
    row = {"prompt": "a cat", "instruction": "add a hat, please", "target": "a cat, a hat"}
    lines = write(tmp_path, json.dumps(row | {"units": units}) + "\n")
    cell = json.dumps(units).replace('"', '""')
    text = f'prompt,instruction,target,units\na cat,"add a hat, please","a cat, a hat","{cell}"\n'
    table = write(tmp_path, text, "cases.csv")
    one, two = read_cases(lines), read_cases(table)
    assert one[0]["case_id"] == two[0]["case_id"]
    assert one[0]["units"] == units
    assert one[0]["units_source"] == "file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"instruction": "add a hat"}', "column 'prompt' is missing (there are: instruction)"),
        ('{"prompt": "a cat"}', "column 'instruction' is missing"),
        ('{"prompt": "a cat", "instruction": "  "}', "must be a text that is not empty"),
        ('{"prompt": null, "instruction": "x"}', "prompt is None"),
        ('{"prompt": "a cat", "instruction": 7}', "instruction is 7"),
        ("not json", "line 1 is not JSON"),
        ('["a cat", "add a hat"]', "a JSON object is needed"),
        ("", "holds no case"),
        ('{"prompt": "a", "instruction": "b", "units": [{"role": "no", "text": "c"}]}', "'no'"),
        ('{"prompt": "a", "instruction": "b", "units": ["c"]}', "units must look like"),
        ('{"prompt": "a", "instruction": "b", "edit_kind": "magic"}', "'magic'"),
        (json.dumps({"prompt": "x" * 1_000_000, "instruction": "b"}), "1,000,000 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_file_and_line(tmp_path, text, said):
    path = write(tmp_path, text)
    with pytest.raises(SourceError) as error:
        read_cases(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert len(str(error.value)) < 500


def test_a_csv_of_other_columns_and_other_files_are_refused(tmp_path):
    with pytest.raises(SourceError, match=r"column 'prompt' is missing \(there are: text, edit\)"):
        read_cases(write(tmp_path, "text,edit\na,b\n", "cases.csv"))
    with pytest.raises(SourceError, match=r"\.jsonl or \.csv"):
        read_cases(write(tmp_path, "x", "cases.txt"))
    with pytest.raises(SourceError, match="There is no file"):
        read_cases(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes("prompt,instruction\ncafé,x\n".encode("latin-1"))
    with pytest.raises(SourceError, match="not UTF-8"):
        read_cases(tmp_path / "latin.csv")
    with pytest.raises(SourceError, match="no case to evaluate"):
        numbered([])


def published(name, root, raw, instruction, target, units, kind="add", parent=None):
    return {
        "triple_id": name, "raw_prompt_id": root, "parent_triple_id": parent, "raw_prompt": raw,
        "instruction": instruction, "target_prompt": target, "intent": "x", "edit_kind": kind,
        "units": [{"role": r, "text": t} for r, t in units], "units_source": "teacher",
    }  # fmt: skip


ROWS = [
    published("1", "r", "a cat", "add a hat", "a cat, a hat", [("keep", "cat"), ("add", "hat")]),
    published("2", "r", "a cat, a hat", "add a dog", "a cat, a hat, a dog",
              [("keep", "cat"), ("keep", "hat"), ("add", "dog")], parent="1"),
    published("3", "s", "a boat", "add neon glow", "a boat, neon glow",
              [("keep", "boat"), ("add", "neon glow")], kind="lighting"),
]  # fmt: skip


def test_a_later_turn_carries_the_turns_before():
    by_id = {case["triple_id"]: case for case in dataset_cases(ROWS, 3)}
    assert by_id["2"]["history"] == [{"instruction": "add a hat", "prompt": "a cat, a hat"}]
    assert (by_id["2"]["first_prompt"], by_id["2"]["turn"]) == ("a cat", 2)
    assert by_id["1"]["source"] == "InstructPE version 3, test"


def test_a_conversation_asks_for_everything_so_far():
    chains = conversations(dataset_cases(ROWS, 3), turns=5, limit=10)
    chain = [case for case in chains if case["cluster_id"] == "r"]
    assert [case["instruction"] for case in chain] == ["add a hat", "add neon glow"]
    assert chain[1]["parent_case_id"] == chain[0]["case_id"]
    assert {u["text"] for u in chain[1]["units"] if u["role"] == "keep"} == {"cat", "hat"}
    assert {u["text"] for u in chain[1]["units"] if u["role"] == "add"} == {"neon glow"}
    assert conversations(dataset_cases(ROWS, 3), turns=1, limit=10) == []


def test_a_set_is_its_cases_whatever_their_order():
    cases = dataset_cases(ROWS, 3)
    assert numbered(cases)[0] == numbered(cases[::-1])[0] != numbered(cases[1:])[0]
