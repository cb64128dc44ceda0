"""What a training reads: a published version at its snapshot, and Parquet files beside it.

    data = training_data(lake, settings.sft, "sft")
    data.identity                      # into the model's id
    for batch in data.batches("train"): …

Rows of the version come first; a triple that a file holds too is taken once.  Free of Prefect and
torch.  Left out: what becomes of the rows (`models.train.data`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.train.data import COLUMNS, Row, is_hard, read_published
from models.weights import PROJECT, matching, sha256
from schemas.errors import SourceError, WarehouseError
from schemas.training import RlSettings, SftSettings
from warehouse import Warehouse

_LIST = ", ".join(COLUMNS)
_SPLIT = f"SELECT {_LIST} FROM published_rows WHERE version = $1 AND split = $2 ORDER BY triple_id"
_NAMES = (
    "SELECT DISTINCT parent_triple_id FROM published_rows "
    "WHERE version = $1 AND parent_triple_id IS NOT NULL"
)
_PARENTS = (
    f"SELECT {_LIST} FROM published_rows "
    "WHERE version = $1 AND triple_id IN (SELECT unnest($2::VARCHAR[]))"
)


@dataclass(frozen=True)
class TrainingData:
    lake: Warehouse
    version: dict[str, Any] | None  # row of dataset_versions
    files: tuple[Path, ...]

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the rows: version and snapshot, and the files' hashes."""
        names = ("version", "snapshot_id")
        version = self.version and {name: self.version[name] for name in names}
        return {"version": version, "files": [sha256(path) for path in self.files]}

    @property
    def title(self) -> str:
        """In words for a person: "InstructPE version 3 and 2 files"."""
        parts = [f"InstructPE version {self.version['version']}"] if self.version else []
        if self.files:
            parts.append(f"{len(self.files)} file{'s' * (len(self.files) > 1)} of rows")
        return " and ".join(parts)

    def batches(self, split: str, limit: int | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches (`COLUMNS`) of one split, at most `limit` rows."""
        left = limit
        seen: set[str] = set()
        for batch in self._all(split):
            if self.files:  # only then can a triple come twice
                ids = batch["triple_id"].to_pylist()
                batch = batch.filter(pa.array([name not in seen for name in ids]))
                seen.update(ids)
            if left is not None:
                batch, left = batch.slice(0, left), left - min(left, batch.num_rows)
            if batch.num_rows:
                yield batch
            if left == 0:
                return

    def _all(self, split: str) -> Iterator[pa.RecordBatch]:
        if self.version:
            number = self.version["version"]
            yield from self.lake.batches(_SPLIT, [number, split], version=number)
        yield from read_published(self.files, split)

    def cases(self, most: int) -> tuple[list[Row], int]:
        """(rows of the test split, how many of them are the plain sample): the first `most`, then
        as many hard ones as it takes to have half as many."""
        rows: list[Row] = []
        more: list[Row] = []
        for batch in self.batches("test"):
            for row in batch.to_pylist():
                if len(rows) < most:
                    rows.append(row)
                elif is_hard(row):
                    more.append(row)
        wanted = max(0, most // 2 - sum(map(is_hard, rows)))
        return rows + more[:wanted], len(rows)

    def parents(self) -> dict[str, Row]:
        """Rows that are an earlier turn of another row, by triple id.

        Those of a file may lie in the version and the other way round; the version's come first.
        """
        found: dict[str, Row] = {}
        wanted = {
            name
            for batch in read_published(self.files)
            for name in batch["parent_triple_id"].to_pylist()
            if name
        }
        if self.version:
            number = self.version["version"]
            wanted |= set(self.lake.query(_NAMES, [number], version=number).column(0).to_pylist())
            rows = self.lake.query(_PARENTS, [number, sorted(wanted)], version=number).to_pylist()
            found = {row["triple_id"]: row for row in rows}
        for batch in read_published(self.files):
            for row in batch.to_pylist():
                if row["triple_id"] in wanted:
                    found.setdefault(row["triple_id"], row)
        return found


def training_data(
    lake: Warehouse, settings: SftSettings | RlSettings, section: str
) -> TrainingData:
    """Resolve version and files of the profile's `section`.

    Raises WarehouseError if the version does not exist, was retired or is empty, SourceError for a
    pattern that matches no file, and either if there is nothing at all to train on.
    """
    files = tuple(path for pattern in settings.parquet for path in _files(pattern, section))
    version = _version(lake, settings.dataset_version)
    if version is None and not files:
        raise WarehouseError(
            "There is nothing to train on: no dataset version is published. Run `diffchat build`, "
            f"or name files with --set '{section}.parquet=[\"rows/*.parquet\"]'."
        )
    return TrainingData(lake, version, files)


def _version(lake: Warehouse, wanted: int | None) -> dict[str, Any] | None:
    if wanted is None:
        row = lake.latest()
    else:
        lake.query("SELECT 1", version=wanted)  # says which versions there are
        rows = lake.query("FROM dataset_versions WHERE version = $1", [wanted]).to_pylist()
        row = rows[0]
    if row is not None and row["rows"] == 0:
        raise WarehouseError(
            f"Dataset version {row['version']} is empty: there is nothing to train on. "
            "`diffchat versions` shows the others, `diffchat build` makes one."
        )
    return row


def _files(pattern: str, section: str) -> list[Path]:
    """A path or glob, as given or relative to the project."""
    if found := [path.resolve() for path in matching(pattern)]:
        return found
    raise SourceError(f"{section}.parquet: {pattern!r} matches no file, here or in {PROJECT}.")
