"""`diffchat sql` and `diffchat versions`: read-only questions to the warehouse."""

import csv
import json
import sys
from typing import Literal

from app.console import note, print_json, print_rows, printable
from schemas.settings import Settings, home
from warehouse import Warehouse


def run_sql(
    settings: Settings,
    query: str,
    version: int | None,
    form: Literal["table", "csv", "json"],
    limit: int,
) -> None:
    """Print the answer of `query`; with `version`, as the lake stood when that was published."""
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        answer = lake.query(query, version=version)
    if form == "json":
        print_json({"columns": answer.column_names, "rows": answer.to_pylist()})
        return
    if form == "csv":
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.column_names)
        writer.writerows(row.values() for row in answer.to_pylist())
        return
    shown = answer.slice(0, limit).to_pylist()
    print_rows(answer.column_names, [tuple(row.values()) for row in shown])
    if answer.num_rows > limit:
        note(f"{limit} of {answer.num_rows} rows; --limit shows more, --csv and --json show all")


VERSIONS = """
SELECT version, status, rows, profile, published_at, funnel, settings_hash, snapshot_id
FROM dataset_versions ORDER BY version
"""


def show_versions(settings: Settings, as_json: bool) -> None:
    """Print the published versions, the newest last."""
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        rows = lake.query(VERSIONS).to_pylist()
    for row in rows:
        row["funnel"] = json.loads(row["funnel"])
    if as_json:
        print_json({"versions": rows})
    elif not rows:
        note("Nothing is published yet: run `diffchat build`.")
    else:
        shown = ("version", "status", "rows", "profile", "published_at", "settings_hash")
        print_rows(shown, [tuple(printable(row[name]) for name in shown) for row in rows])
