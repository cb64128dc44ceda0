"""Export a published version as a dataset folder: Parquet shards by split and a dataset card.

    folder/README.md                    card with YAML front matter
    folder/data/train-00000-of-00002.parquet …

`datasets.load_dataset(folder)` reads it, offline.  The folder appears whole or not at all: it is
written beside its name and renamed.

Left out: images (the dataset is text; the card says how they were made) and any upload.
"""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import WarehouseError
from schemas.records import PUBLISHED_ROWS
from warehouse.card import card
from warehouse.commits import is_full
from warehouse.connection import first_row

SPLITS = ("train", "validation", "test")
SHARD_ROWS = 200_000  # about 50 MB a file at the sizes seen
_ROWS = (
    "SELECT * EXCLUDE (version) FROM published_rows WHERE version = $1 AND split = $2 "
    "ORDER BY triple_id"
)


def export(
    connection: duckdb.DuckDBPyConnection, folder: Path, version: int | None = None
) -> dict[str, Any]:
    """Write version `version` (None: the latest) to `folder`, which must be new or empty.

    Returns {"version", "splits": {split: rows}, "folder"}.  Raises WarehouseError if there is no
    such version, if the folder holds something, or if it cannot be written.
    """
    facts = _facts(connection, version)
    _check_folder(folder)
    building = folder.parent / f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        (building / "data").mkdir(parents=True)
        splits = {
            split: _write_split(connection, building / "data", facts["version"], split)
            for split in SPLITS
        }
        splits = {split: rows for split, rows in splits.items() if rows}
        text = card(connection, facts, splits)
        (building / "README.md").write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        os.replace(building, folder)
    except OSError as error:
        said = "the disk is full" if is_full(error) else str(error)
        raise WarehouseError(f"{folder} could not be written: {said}.") from None
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return {"version": facts["version"], "splits": splits, "folder": str(folder)}


def _facts(connection: duckdb.DuckDBPyConnection, version: int | None) -> dict[str, Any]:
    row = first_row(
        connection,
        'SELECT version, status, "rows", profile, settings_hash, funnel, published_at, '
        "decision_set_id FROM dataset_versions WHERE version = coalesce($1, "
        "(SELECT max(version) FROM dataset_versions WHERE status = 'published'))",
        [version],
    )
    if row is None:
        said = "Nothing is published yet" if version is None else f"There is no version {version}"
        raise WarehouseError(f"{said}: `diffchat versions` lists them, `diffchat build` makes one.")
    names = ("version", "status", "rows", "profile", "settings_hash", "funnel", "published_at")
    facts: dict[str, Any] = dict(zip((*names, "decision_set_id"), row, strict=True))
    if facts["status"] != "published":
        raise WarehouseError(
            f"Version {facts['version']} was retired, because rows of it had to be removed."
        )
    facts["funnel"] = json.loads(facts["funnel"])
    return facts


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WarehouseError(f"{folder} is there already: give a new or an empty folder.")


def _write_split(
    connection: duckdb.DuckDBPyConnection, folder: Path, version: int, split: str
) -> int:
    """Shards of one split, read and written in batches; returns its rows."""
    import pyarrow.parquet as pq

    total = first_row(
        connection,
        "SELECT count(*) FROM published_rows WHERE version = ? AND split = ?",
        [version, split],
    ) or (0,)
    count = total[0]
    shards = max(1, -(-count // SHARD_ROWS))
    if not count:
        return 0
    schema = pa.schema([field for field in PUBLISHED_ROWS if field.name != "version"])
    batches = connection.execute(_ROWS, [version, split]).to_arrow_reader(SHARD_ROWS // 10)
    pending: list[pa.RecordBatch] = []
    for shard in range(shards):
        wanted = min(SHARD_ROWS, count - shard * SHARD_ROWS)
        name = folder / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
        with pq.ParquetWriter(name, schema, compression="zstd") as writer:
            while wanted:
                batch = pending.pop() if pending else batches.read_next_batch()
                if batch.num_rows > wanted:
                    pending.append(batch.slice(wanted))
                    batch = batch.slice(0, wanted)
                writer.write_table(pa.Table.from_batches([batch]).cast(schema))
                wanted -= batch.num_rows
    return count
