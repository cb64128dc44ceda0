"""`diffchat export` and `diffchat import`: datasets out and triples in."""

from pathlib import Path

from app.console import note, print_json
from schemas.settings import Settings, home
from warehouse import Warehouse


def run_export(settings: Settings, folder: Path, version: int | None, as_json: bool) -> None:
    """Write a published version as a dataset folder that `datasets.load_dataset` reads."""
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        written = lake.export(folder, version)
    if as_json:
        print_json(written)
        return
    rows = ", ".join(f"{split}: {count}" for split, count in written["splits"].items())
    note(f"version {written['version']} in {folder} ({rows})")
    note(f'read it with: datasets.load_dataset("{folder}")')


def run_import(
    settings: Settings, files: list[Path], licence: str, limit: int | None, as_json: bool
) -> None:
    """Append the triples of each file; every row refused is a row of `rejections`."""
    from models.collect.triples import read_triples

    totals: dict[str, int] = {}
    with Warehouse.open(settings.warehouse, home()) as lake:
        for file in files:
            tables = read_triples(file, licence=licence, limit=limit)
            for name, table in tables.items():
                totals[name] = totals.get(name, 0) + lake.append(name, table)
    if as_json:
        print_json({"added": totals})
    else:
        note("added " + ", ".join(f"{count} {name}" for name, count in totals.items()))
        note("`diffchat build` renders, scores and decides them.")
