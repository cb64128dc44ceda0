"""A DuckDB connection with the lake attached: extensions, catalog, data path, credentials.

The extensions come as Python packages and are loaded from their files, so nothing is downloaded
and nothing is written to the user's home.  A lake has two addresses: its catalog (a SQLite file
or PostgreSQL) and its data path (a folder or `s3://bucket/prefix`).

Left out: other catalogs that DuckLake knows (DuckDB files, MySQL).  S3 credentials are read from
the standard variables `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, and
are never stored.
"""

import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb

from schemas.errors import SettingsError, WarehouseError
from schemas.settings import WarehouseSettings

CATALOG_FILE = "catalog.sqlite"
BUSY_TIMEOUT_MS = 10_000  # how long SQLite waits for a reader before "database is locked"


@dataclass(frozen=True)
class Address:
    """Where one lake lives, resolved from settings and home."""

    settings: WarehouseSettings
    folder: Path  # home/warehouse: catalog file, locks, journal; local even with remote data
    images: str  # folder or s3:// url of the image store

    @classmethod
    def of(cls, settings: WarehouseSettings, home: Path) -> "Address":
        """Raises SettingsError for a catalog that is neither a path nor PostgreSQL."""
        catalog, data = settings.catalog, settings.data_path
        if (
            catalog
            and "://" in catalog
            and not catalog.startswith(("postgresql://", "postgres://"))
        ):
            raise SettingsError(
                f"warehouse.catalog = {catalog.split('@')[-1]!r}: give a postgresql:// URL, "
                "the path of a SQLite file, or nothing for one under $DIFFCHAT_HOME."
            )
        images = f"{data.rstrip('/')}/images" if data and data.startswith("s3://") else None
        return cls(settings, home / "warehouse", images or str(home / "images"))

    @property
    def postgres(self) -> str | None:
        catalog = self.settings.catalog
        return catalog if catalog and "://" in catalog else None

    @property
    def catalog_file(self) -> Path:
        return Path(self.settings.catalog or self.folder / CATALOG_FILE)

    @property
    def data_path(self) -> str:
        data = self.settings.data_path
        if data and data.startswith("s3://"):
            return f"{data.rstrip('/')}/tables/"
        return f"{Path(data).resolve() if data else self.folder / 'data'}/"

    @property
    def uri(self) -> str:
        """What follows `ATTACH` in any DuckDB session."""
        if self.postgres:
            return f"ducklake:postgres:{self.postgres}"
        return f"ducklake:sqlite:{self.catalog_file}"

    def copied(self, folder: Path) -> "Address":
        """The same lake through a copy of its SQLite catalog in `folder`, to read it."""
        for file in self.catalog_file.parent.glob(f"{self.catalog_file.name}*"):
            shutil.copy(file, folder / file.name)
        settings = self.settings.model_copy(
            update={
                "catalog": str(folder / self.catalog_file.name),
                "data_path": self.data_path.rstrip("/"),
            }
        )
        return replace(self, settings=settings)

    def public(self) -> str:
        """The catalog's address without a password, for messages."""
        return (self.postgres or str(self.catalog_file)).split("@")[-1]

    def exists(self) -> bool:
        """Whether a catalog file is there; of PostgreSQL only attaching can tell."""
        return bool(self.postgres) or self.catalog_file.is_file()


def sql_text(value: str) -> str:
    """`value` as an SQL string literal, for the few statements that take no parameters."""
    return "'" + value.replace("'", "''") + "'"


def connect(address: Address, threads: int | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with the extensions and S3 credentials the lake needs, not attached."""
    settings = address.settings
    config: dict[str, Any] = {
        # The files come with pinned packages, as all other native code here does; checking their
        # signatures again takes half a second at every start.
        "allow_unsigned_extensions": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        # A table name in SQL never means a variable of the program around it.
        "python_enable_replacements": "false",
        "memory_limit": settings.memory_limit,
        "preserve_insertion_order": "false",
        "temp_directory": str(_spill(address.folder)),
    }
    if threads or settings.threads:
        config["threads"] = threads or settings.threads
    remote = address.data_path.startswith("s3://")
    connection = duckdb.connect(config=config)
    connection.execute("SET TimeZone = 'UTC'")  # answers do not depend on where they are asked
    names = ["ducklake", "postgres_scanner" if address.postgres else "sqlite_scanner"]
    for name in names + (["httpfs"] if remote else []):
        connection.execute(f"LOAD {sql_text(str(extension_file(name)))}")
    if remote:
        _create_secret(connection, settings)
    return connection


def _spill(folder: Path) -> Path:
    """Where a query that outgrows its memory may write."""
    return folder / "spill" if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())


def extension_file(name: str) -> Path:
    """The extension's file inside its Python package; raises WarehouseError if it is absent."""
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    folder = Path(found.origin).parent / "extensions" if found and found.origin else None
    file = folder / f"v{duckdb.__version__}" / f"{name}.duckdb_extension" if folder else None
    if file is None or not file.is_file():
        package = f"duckdb-extension-{name.replace('_', '-')}=={duckdb.__version__}"
        raise WarehouseError(
            f"DuckDB {duckdb.__version__} has no {name} extension here: install {package}."
        )
    return file


def _create_secret(connection: duckdb.DuckDBPyConnection, settings: WarehouseSettings) -> None:
    parts = ["TYPE s3", f"REGION {sql_text(settings.s3_region)}"]
    for field, variable in (
        ("KEY_ID", "AWS_ACCESS_KEY_ID"),
        ("SECRET", "AWS_SECRET_ACCESS_KEY"),
        ("SESSION_TOKEN", "AWS_SESSION_TOKEN"),
    ):
        if os.environ.get(variable):
            parts.append(f"{field} {sql_text(os.environ[variable])}")
    if settings.s3_endpoint:
        scheme, _, host = settings.s3_endpoint.rpartition("://")
        parts += [f"ENDPOINT {sql_text(host)}", "URL_STYLE 'path'"]
        parts.append(f"USE_SSL {'false' if scheme == 'http' else 'true'}")
    try:
        connection.execute(f"CREATE SECRET lake_data ({', '.join(parts)})")
    except duckdb.Error:
        # The statement holds the key: neither it nor DuckDB's message may be shown.
        raise WarehouseError(
            "The S3 credentials were refused: look at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
            "warehouse.s3_endpoint and warehouse.s3_region."
        ) from None


def attach(
    connection: duckdb.DuckDBPyConnection,
    address: Address,
    name: str = "lake",
    read_only: bool = False,
    snapshot: int | None = None,
) -> None:
    """Attach the lake as `name` and make it the default; raises WarehouseError with the reason."""
    # Rows are never inlined into the catalog: a purge must be able to rewrite every one of them.
    options = [f"DATA_PATH {sql_text(address.data_path)}", "DATA_INLINING_ROW_LIMIT 0"]
    options.append("OVERRIDE_DATA_PATH true")  # a home that was moved stays readable
    if not address.postgres:
        options.append(f"META_BUSY_TIMEOUT {BUSY_TIMEOUT_MS}")
        if not read_only and snapshot is None:
            options.append("META_JOURNAL_MODE 'WAL'")  # readers never block a commit
    if read_only or snapshot is not None:
        options.append("READ_ONLY")
    if snapshot is not None:
        options.append(f"SNAPSHOT_VERSION {snapshot}")
    try:
        connection.execute(f"ATTACH {sql_text(address.uri)} AS {name} ({', '.join(options)})")
        connection.execute(f"USE {name}")
    except duckdb.Error as error:
        raise WarehouseError(_explain(error, address)) from None


def _explain(error: duckdb.Error, address: Address) -> str:
    said = str(error)
    for secret in filter(None, [address.postgres]):
        said = said.replace(secret, address.public())
    if "version" in said and "DuckLake" in said and "support" in said:
        return (
            f"The lake at {address.public()} was made by a newer DuckLake: upgrade the packages "
            f"duckdb and duckdb-extension-ducklake. ({said})"
        )
    return (
        f"The lake at {address.public()} cannot be attached: {said}\n"
        "Look at warehouse.catalog and warehouse.data_path; `diffchat doctor` checks both."
    )


def first_row(
    connection: duckdb.DuckDBPyConnection, sql: str, params: Any = None
) -> tuple[Any, ...] | None:
    """The first row of an answer, read to its end: a half-read answer keeps the catalog locked."""
    rows = connection.execute(sql, params).fetchall()
    return rows[0] if rows else None
