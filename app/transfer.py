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
    settings: Settings, files: list[str], licence: str, limit: int | None, as_json: bool
) -> None:
    """Append the triples of each file; every row refused is a row of `rejections`.

    The word `chat` instead of a file stands for the turns that people gave in the chat.
    """
    from app.consent import write_given
    from models.collect.triples import read_triples
    from models.tis import load_token_counter
    from tasks.plan import plan_of

    tis = plan_of(settings).tis
    encoder = {
        "count_tokens": load_token_counter(settings.tis) if tis else None,
        "token_budget": tis.token_budget if tis else None,
    }
    totals: dict[str, int] = {}
    with Warehouse.open(settings.warehouse, home()) as lake:
        given = write_given(lake, home() / "chat" / "given") if "chat" in files else []
        named = [(file, licence) for file in files if file != "chat"]
        for file, terms in [*named, *((str(path), own) for path, own in given)]:
            tables = read_triples(file, terms, settings.collect, limit=limit, **encoder)
            sources = tables.pop("sources")  # last: it says that all the rest is there
            for name, count in lake.append_all(tables).items():
                totals[name] = totals.get(name, 0) + count
            lake.append("sources", sources)
    if as_json:
        print_json({"added": totals})
    else:
        note("added " + ", ".join(f"{count} {name}" for name, count in totals.items()))
        note("`diffchat build` renders, scores and decides them.")
