"""`Warehouse`: the only door to storage.

    with Warehouse.open(settings.warehouse, home()) as lake:
        lake.append("scores", table)
        lake.todo("render", tis_id=…, seeds=(0, 1))
        lake.query("SELECT edit_kind, count(*) FROM instructpe GROUP BY ALL")

What it does is in the modules beside it: `commits` (append), `todo`, `reading` (query), `readers`
(of now and of a version), `claims`, `journal`, `images`, `deciding`, `publishing`, `upkeep` (purge,
gc, maintain), `export`.

Left out: anything that computes.  Stages hand in Arrow tables with the columns of
`schemas.records` and get Arrow tables back.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from schemas.errors import WarehouseError
from schemas.settings import DecideSettings, WarehouseSettings
from warehouse import deciding, migrations, publishing, upkeep
from warehouse.claims import Claims
from warehouse.commits import Committer, Derive
from warehouse.connection import Address, attach, connect
from warehouse.export import export
from warehouse.images import ImageStore
from warehouse.journal import Journal, ingest_leftovers
from warehouse.locks import CommitLock
from warehouse.readers import Params, Readers, answer, one_snapshot
from warehouse.reading import check_reading, lock_down
from warehouse.state import CountCache, changed_at, lake_uuid, question_of
from warehouse.todo import ORDER, READS, shard_sql, todo_sql

LOG = logging.getLogger(__name__)


class Warehouse:
    """One open lake; safe to share between threads, not between processes."""

    def __init__(
        self, address: Address, connection: duckdb.DuckDBPyConnection, read_only: bool
    ) -> None:
        self.address, self.read_only = address, read_only
        self._connection = connection
        self._guard = threading.Lock()
        self._copy: tempfile.TemporaryDirectory[str] | None = None  # of a read-only catalog
        self._journals: dict[str, Journal] = {}
        self.lock = CommitLock(address.folder / "commit.lock", address.postgres)
        self.commits = Committer(connection, self.lock, address)
        self.claims = Claims(address)
        self._readers = Readers(address, connection)
        self._counts = CountCache(address.folder)
        self.images = ImageStore(address, read_only)

    @classmethod
    def open(cls, settings: WarehouseSettings, home: Path, read_only: bool = False) -> "Warehouse":
        """Open the lake of `home`; a writable open creates and migrates it.

        Raises WarehouseError if there is none to read, if it was made by a newer version, or if
        the folder or the catalog cannot be used.
        """
        address = Address.of(settings, home)
        return cls._read(address) if read_only else cls._write(address)

    @classmethod
    def _read(cls, address: Address) -> "Warehouse":
        if not address.exists():
            raise WarehouseError(
                f"There is no warehouse at {address.catalog_file}: run `diffchat build` first, or "
                "set $DIFFCHAT_HOME."
            )
        copy = None
        if not address.postgres and not os.access(address.catalog_file.parent, os.W_OK):
            # SQLite cannot even read a catalog beside which it may not make its lock files.
            copy = tempfile.TemporaryDirectory(prefix="diffchat-")
            address = address.copied(Path(copy.name))
        connection = connect(address)
        attach(connection, address, read_only=True)
        if not migrations.check(connection, address.public()):
            raise WarehouseError(
                f"The lake at {address.public()} was made by an older DiffChat: open it once "
                "for writing (`diffchat build`) to bring it up to date."
            )
        lock_down(connection, [address.data_path])
        lake = cls(address, connection, read_only=True)
        lake._copy = copy
        return lake

    @classmethod
    def _write(cls, address: Address) -> "Warehouse":
        _create_folder(address)
        connection = connect(address)
        lock = CommitLock(address.folder / "commit.lock", address.postgres)
        ready = address.folder / "ready"  # the catalog was created to its end
        if ready.exists() and address.exists():
            attach(connection, address)
        else:
            with lock.hold():  # two processes must not both create the catalog
                attach(connection, address)
        if not migrations.check(connection, address.public()):
            with lock.hold():
                migrations.migrate(connection, address.public())
        ready.touch()
        lake = cls(address, connection, read_only=False)
        ingest_leftovers(address.folder, lake.append_all)
        return lake

    @staticmethod
    def exists(settings: WarehouseSettings, home: Path) -> bool:
        """Whether there is a lake to read; of PostgreSQL only opening can tell, so True."""
        return Address.of(settings, home).exists()

    def close(self) -> None:
        for journal in self._journals.values():
            journal.close()
        self.claims.close()
        self._readers.forget_versions()
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()

    def __enter__(self) -> "Warehouse":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # Writing

    def append(self, table: str, rows: pa.Table) -> int:
        """Commit the rows whose unique columns are new; returns how many were added.

        Missing columns become null; the first committed row of a key wins; rows of removed
        prompts and triples are dropped.  Raises WarehouseError (see `commits.conform`).
        """
        return self.append_all({table: rows})[table]

    def append_all(
        self, tables: Mapping[str, pa.Table], derive: Derive | None = None
    ) -> dict[str, int]:
        """Like `append`, several tables in one commit; see `commits.Committer.append_all`."""
        if self.read_only:
            raise WarehouseError("The warehouse was opened for reading only.")
        return self.commits.append_all(tables, derive)

    def journal(self, table: str) -> Journal:
        """This process's journal of `table`: rows are safe on arrival, committed in batches."""
        with self._guard:
            if table not in self._journals:
                self._journals[table] = Journal(self.address.folder, table, self.append_all)
            return self._journals[table]

    # Deciding and publishing

    def decide(self, rules: DecideSettings, **reads: Any) -> str:
        """Decide every triple under `rules`; returns the decision set's id.

        `reads` are the fields of `deciding.Question`: tis_id, seeds, aesthetics_id,
        preference_id, recipe_ids.  Without tis_id the text rules decide alone.
        """
        with self._writing() as connection:
            return deciding.decide(connection, self.commits, _question(rules, reads))

    def decision_pending(self, rules: DecideSettings, **reads: Any) -> bool:
        """Whether the latest version does not yet answer `rules` for what is in the lake."""
        with one_snapshot(self._readers.current()) as reader:
            last = publishing.latest(reader)
            question = _question(rules, reads)
            return last is None or not deciding.is_answered(reader, question, last[1])

    def candidate(self, decision_set_id: str) -> pa.Table:
        """Rows that publishing the set would publish: `PUBLISHED_ROWS` without `version`."""
        with one_snapshot(self._readers.current()) as reader:
            return publishing.candidate(reader, decision_set_id)

    def publish(
        self,
        decision_set_id: str,
        *,
        profile: str = "",
        settings_hash: str = "",
        audit: publishing.Audit | None = None,
    ) -> int:
        """Audit the candidate, then publish it in one commit; returns the version.

        If `audit(candidate)` raises, nothing is published.  If the latest version already holds
        these rows under these rules, that version is returned.
        """
        with self._writing() as connection:
            return publishing.publish(
                connection, self.commits, decision_set_id, profile, settings_hash, audit
            )

    def funnel(self, decision_set_id: str) -> dict[str, Any]:
        """collected → proposed → rendered → accepted, with reasons; see `publishing.funnel`."""
        with one_snapshot(self._readers.current()) as reader:
            return publishing.funnel(reader, decision_set_id)

    # Keeping

    def purge(self, ids: Sequence[str], reason: str) -> list[int]:
        """Remove raw prompts or triples and all that comes of them; returns retired versions."""
        with self._writing() as connection:
            retired = upkeep.purge(connection, self.commits, self.images, ids, reason)
        self._readers.forget_versions()
        return retired

    def gc(self, grace_s: float = upkeep.GRACE_S) -> int:
        """Delete images that no render names, forget renders without one; see `upkeep.gc`."""
        with self._writing() as connection:
            return upkeep.gc(connection, self.commits, self.images, grace_s)

    def maintain(self, grace_s: float = upkeep.GRACE_S) -> dict[str, int]:
        """Merge small files, expire snapshots that no version needs; returns counts."""
        with self._writing() as connection:
            return upkeep.maintain(connection, grace_s)

    def tidy(self) -> dict[str, int]:
        """Maintain, where a table lies in very many files; returns counts, none if it need not.

        That it cannot be done now (a busy catalog, a full disk) harms no run, and is a warning.
        """
        if not upkeep.scattered(self._readers.current()):
            return {}
        where = self.address.public()
        LOG.info("Many small commits: merging the files of %s …", where)
        try:
            return self.maintain()
        except duckdb.Error as error:
            LOG.warning(
                "The files of %s could not be merged (%s): look-ups stay slow until "
                "`diffchat maintain` has done it.", where, error,
            )  # fmt: skip
            return {}

    def export(self, folder: Path, version: int | None = None) -> dict[str, Any]:
        """Write a version as a folder that `datasets.load_dataset` reads; see `export.export`."""
        with one_snapshot(self._readers.current()) as reader:
            return export(reader, folder, version)

    # Reading

    def query(
        self,
        sql: str,
        params: Params = None,
        version: int | None = None,
    ) -> pa.Table:
        """The answer of one SELECT; with `version`, of the lake as it was published then.

        Raises WarehouseError for anything that is not a question, for SQL that DuckDB refuses,
        and for a version that does not exist or was retired.
        """
        check_reading(sql)
        connection = self._reader(version)
        try:
            return answer(connection, sql, params)
        except duckdb.Error as error:
            raise WarehouseError(f"{error}") from None

    def batches(
        self,
        sql: str,
        params: Params = None,
        version: int | None = None,
        rows: int = 1_000,
    ) -> Iterator[pa.RecordBatch]:
        """Like `query`, but `rows` rows at a time, so that an answer need not fit into memory."""
        check_reading(sql)
        connection = self._reader(version)
        cursor = connection.cursor()
        cursor.execute("USE lake")
        try:
            with one_snapshot(cursor):
                yield from cursor.execute(sql, params).to_arrow_reader(rows)
        except duckdb.Error as error:
            raise WarehouseError(f"{error}") from None
        finally:
            cursor.close()

    def todo(
        self,
        stage: str,
        *,
        limit: int | None = None,
        shard: tuple[int, int] | None = None,
        **filters: Any,
    ) -> pa.Table:
        """wanted − have of `stage`, in a stable order; `filters` as in `todo.Filters`.

        `shard` (number, of how many) asks for one part: rows of one key (`todo.KEY`) are in the
        same part, on every machine and whatever else is in the lake.
        """
        sql, params = todo_sql(stage, **filters)
        part = f" WHERE {shard_sql(stage, *shard)}" if shard else ""
        bound = f" LIMIT {int(limit)}" if limit is not None else ""
        return answer(
            self._readers.current(), f"{sql}{part} ORDER BY {ORDER[stage]}{bound}", params
        )

    def count_todo(self, stage: str, **filters: Any) -> int:
        """How many rows `todo` would return; kept until a table behind the view changes."""
        sql, params = todo_sql(stage, **filters)
        question = question_of(sql, params, migrations.views_hash())
        with one_snapshot(self._readers.current()) as reader:
            state = f"{lake_uuid(reader)}:{changed_at(reader, READS[stage])}"
            known = self._counts.get(question, state)
            if known is not None:
                return known
            count = reader.execute(f"SELECT count(*) FROM ({sql})", params).fetchall()[0][0]
        self._counts.put(question, state, count)
        return count

    def latest(self) -> dict[str, Any] | None:
        """The row of `dataset_versions` of the latest published version, or None."""
        sql = "FROM dataset_versions WHERE status = 'published' ORDER BY version DESC LIMIT 1"
        return next(iter(self.query(sql).to_pylist()), None)

    def snapshot(self) -> int:
        """Number of the last commit."""
        return self.query("SELECT id FROM lake.current_snapshot()").column("id")[0].as_py()

    def _reader(self, version: int | None) -> duckdb.DuckDBPyConnection:
        return self._readers.current() if version is None else self._readers.of_version(version)

    @contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The committer's connection, for one thread and one process at a time."""
        if self.read_only:
            raise WarehouseError("The warehouse was opened for reading only.")
        with self.lock.hold() as interrupted:
            if interrupted:
                self.commits.clear_orphans()
            yield self._connection


def _question(rules: DecideSettings, reads: Mapping[str, Any]) -> deciding.Question:
    listed: dict[str, Any] = dict(reads)
    for name in {"seeds", "recipe_ids"} & set(listed):
        listed[name] = tuple(listed[name])
    return deciding.Question(rules, **listed)


def _create_folder(address: Address) -> None:
    try:
        address.folder.mkdir(parents=True, exist_ok=True)
        probe = address.folder / "commit.lock"
        probe.touch()
    except OSError as error:
        raise WarehouseError(
            f"The warehouse folder {address.folder} cannot be written ({error.strerror}): set "
            "$DIFFCHAT_HOME to a folder of yours."
        ) from None
