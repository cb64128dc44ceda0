"""Export: a folder that `datasets.load_dataset` reads, and a card without markup of others."""

import pytest

from schemas.errors import WarehouseError
from schemas.settings import DecideSettings
from tests.warehouse import rows
from warehouse import export

HOSTILE = '<script>alert(1)</script> | **bold** {{ x }} [a](javascript:b) \n# title --- "q" `c`'


def stocked(lake):
    names = [f"prompt {i}" for i in range(60)] + [HOSTILE]
    found = {"source_id": "source", "fingerprint": "f", "name": HOSTILE, "licence": HOSTILE}
    lake.append("sources", rows.table("sources", [found]))
    rows.collect(lake, names)
    recipe = {"recipe_id": rows.RECIPE, "kind": "teacher", "settings": HOSTILE}
    lake.append("recipes", rows.table("recipes", [recipe]))
    lake.append("triples", rows.triples(*(rows.triple(n, "i", f"{n} hat") for n in names)))
    return lake.publish(lake.decide(DecideSettings()), profile="embedded")


def test_the_datasets_library_reads_the_folder(lake, tmp_path, monkeypatch):
    import datasets

    stocked(lake)
    monkeypatch.setattr(export, "SHARD_ROWS", 20)
    told = lake.export(tmp_path / "out")
    assert told["version"] == 1
    assert sum(told["splits"].values()) == 61
    read = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows_) for split, rows_ in read.items()} == told["splits"]
    every = {row["raw_prompt"]: row for split in read.values() for row in split}
    assert len(every) == 61
    assert every[HOSTILE]["units"] == [{"role": "add", "text": f"{HOSTILE} hat"}]
    assert len(list((tmp_path / "out" / "data").glob("train-*.parquet"))) > 1


def test_the_card_is_yaml_and_inert_text(lake, tmp_path):
    import yaml

    stocked(lake)
    lake.export(tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    facts = yaml.safe_load(front)
    assert facts["configs"][0]["data_files"][0]["split"] == "train"
    for sign in ("<", "**", "{{", "](", "`"):
        assert sign not in body, sign
    for heading in ("Funnel", "Columns", "Provenance", "Licences", "Intended use"):
        assert f"\n## {heading}\n" in body
    assert "\n# title" not in body


def test_a_folder_in_use_and_a_missing_version_are_refused(lake, tmp_path):
    with pytest.raises(WarehouseError, match="Nothing is published yet"):
        lake.export(tmp_path / "out")
    stocked(lake)
    with pytest.raises(WarehouseError, match="no version 9"):
        lake.export(tmp_path / "out", 9)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(WarehouseError, match="give a new or an empty folder"):
        lake.export(tmp_path / "out")
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith(".")] == []
