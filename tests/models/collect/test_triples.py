"""Importing edit triples of the public sets."""

import json
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.collect import Columns, read_triples
from models.collect.edit_kind import edit_kind_of
from models.collect.triples import plain_sentence
from schemas.errors import SourceError
from schemas.identity import raw_prompt_id, split_of
from schemas.records import OCCURRENCES, RAW_PROMPTS, RECIPES, REJECTIONS, SOURCES, TRIPLES
from schemas.settings import CollectSettings
from schemas.units import EditKind, Unit

RULES = CollectSettings(languages=())


class Tables(NamedTuple):
    raw_prompts: pa.Table
    occurrences: pa.Table
    rejections: pa.Table
    recipes: pa.Table
    triples: pa.Table
    sources: pa.Table


ROW = {
    "source_prompt": "a cat on a mat",
    "instruction": "replace the cat with a dog",
    "beautified_source_prompt": "a cat on a mat, 8k, detailed",
    "beautified_target_prompt": "a dog on a mat, 8k, detailed",
}


def units(raw: str, instruction: str, target: str) -> list[Unit]:
    return [Unit("keep", "mat"), Unit("add", "dog"), Unit("remove", "cat")]


def load(path, rows, **options):
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return Tables(**read_triples(path, "CC-BY-4.0", RULES, extract_units=units, **options))


def test_the_official_four_keys(tmp_path):
    path = tmp_path / "instructpe.json"
    path.write_text(json.dumps([ROW], indent=1))
    count = {"count_tokens": lambda text: len(text.split()), "token_budget": 77}
    done = Tables(**read_triples(path, "unknown", RULES, extract_units=units, **count))
    schemas = [RAW_PROMPTS, OCCURRENCES, REJECTIONS, RECIPES, TRIPLES, SOURCES]
    assert [table.schema for table in done] == schemas
    (triple,) = done.triples.to_pylist()
    assert triple["raw_prompt"] == "a cat on a mat"
    assert triple["target_prompt"] == "a dog on a mat, 8k, detailed"
    assert triple["intent"] == "a dog on a mat"
    assert triple["edit_kind"] == "replace"
    assert triple["units"][1] == {"role": "add", "text": "dog"}
    assert triple["units_source"] == "rule"
    assert triple["violations"] == []
    assert triple["raw_prompt_id"] == raw_prompt_id("a cat on a mat")
    assert triple["split"] == split_of(triple["raw_prompt_id"])
    assert done.raw_prompts["tokens"].to_pylist() == [5]
    assert done.occurrences["licence"].to_pylist() == ["unknown"]


def test_units_are_derived_by_rule(tmp_path):
    path = tmp_path / "ip2p.jsonl"
    row = {
        "input": "photograph of a girl riding a horse",
        "edit": "have her ride a dragon",
        "output": "photograph of a girl riding a dragon",
    }
    path.write_text(json.dumps(row))
    (triple,) = read_triples(path)["triples"].to_pylist()
    assert {"role": "add", "text": "dragon"} in triple["units"]
    assert {"role": "remove", "text": "horse"} in triple["units"]
    assert triple["edit_kind"] == "replace"
    assert triple["violations"] == []


def test_triples_are_held_to_the_rules_of_the_teacher(tmp_path):
    unchanged = ROW | {"beautified_target_prompt": "A cat on a mat."}
    (triple,) = load(tmp_path / "p.jsonl", [unchanged]).triples.to_pylist()
    assert any("same as the raw prompt" in said for said in triple["violations"])


def test_columns_can_be_chosen(tmp_path):
    columns = Columns("beautified_source_prompt", "instruction", "beautified_target_prompt")
    done = load(tmp_path / "p.jsonl", [ROW], columns=columns)
    assert done.triples["raw_prompt"].to_pylist() == ["a cat on a mat, 8k, detailed"]


@pytest.mark.parametrize(
    "names",
    [
        ("input", "edit", "output"),  # the files of InstructPix2Pix, HQ-Edit
        ("original_prompt", "edit_prompt", "edited_prompt"),  # clip-filtered on the hub
        ("source_caption", "edit_prompt", "target_caption"),  # UltraEdit
        ("raw_prompt", "instruction", "target_prompt"),  # our own export
    ],
)
def test_names_of_public_sets(tmp_path, names):
    row = dict(zip(names, ("a cat on a mat", "make it a dog", "a dog on a mat"), strict=True))
    path = tmp_path / "set.parquet"
    pq.write_table(
        pa.table({key: [value] for key, value in row.items()} | {"image": [b"\0"]}), path
    )
    done = Tables(**read_triples(path, rules=RULES, extract_units=units))
    assert done.triples["target_prompt"].to_pylist() == ["a dog on a mat"]
    assert load(tmp_path / "set.jsonl", [row]).triples["triple_id"] == done.triples["triple_id"]


def test_every_row_is_a_sighting_or_a_rejection(tmp_path):
    rows = [
        ROW,
        ROW,
        ROW | {"instruction": " "},
        ROW | {"instruction": "x" * 5_000},
        ROW | {"source_prompt": None},
        ROW | {"source_prompt": 3},
        ROW | {"beautified_target_prompt": ""},
        ROW | {"beautified_target_prompt": "a nude"},
        {"something": "else"},
        "a string",
        [1],
        ROW | {"instruction": "now with a \ud800"},
    ]
    done = load(tmp_path / "p.jsonl", rows)
    assert len(done.triples) == 1
    assert done.occurrences["line"].to_pylist() == [1, 2]
    assert {row["line"]: row["reason"] for row in done.rejections.to_pylist()} == {
        3: "empty",
        4: "too_long",
        5: "no_prompt",
        6: "not_text",
        7: "empty",
        8: "unsafe",
        9: "no_prompt",
        10: "malformed",
        11: "malformed",
        12: "not_text",
    }


def test_sets_without_captions_are_explained(tmp_path):
    with pytest.raises(SourceError, match=r"raw_prompt, target_prompt.*'source_img'"):
        load(
            tmp_path / "magicbrush.jsonl", [{"source_img": "", "instruction": "", "target_img": ""}]
        )


def test_importing_again_gives_the_same_ids(tmp_path):
    one, two = (load(tmp_path / "p.jsonl", [ROW]) for _ in range(2))
    for table, key in (("triples", "triple_id"), ("occurrences", "occurrence_id")):
        assert getattr(one, table)[key] == getattr(two, table)[key]
    assert one.recipes["recipe_id"] == two.recipes["recipe_id"]


@pytest.mark.parametrize(
    ("instruction", "kind"),
    [
        ("remove the hat", EditKind.REMOVE),
        ("add a rainbow", EditKind.ADD),
        ("swap the dog for a cat", EditKind.REPLACE),
        ("turn the horse into a zebra", EditKind.REPLACE),
        ("make the car red", EditKind.ATTRIBUTE),
        ("make it look like a watercolor painting", EditKind.STYLE),
        ("have it be at sunset", EditKind.LIGHTING),
        ("show it as a close-up", EditKind.COMPOSITION),
        ("make it more beautiful", EditKind.BEAUTIFY),
    ],
)
def test_kinds_of_edit(instruction, kind):
    assert edit_kind_of(instruction) == kind


def test_plain_sentences():
    assert plain_sentence("a dog on a mat, 8k, detailed") == "a dog on a mat"
    assert plain_sentence("dog, on a mat, by night, 8k") == "dog, on a mat"
    assert plain_sentence("A dog.") == "A dog"
