"""What a source is: its files, kind, identity, fingerprint, and the lines it is made of.

A source is one `SourceSettings`: a file, a glob of files (read in the order of their names, lines
counted through) or a Hugging Face dataset `hf://owner/name[/config][@revision]`.  Left out: how
each kind is parsed (`readers`).
"""

import glob
import hashlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from models.weights import PROJECT, matching
from schemas.errors import SourceError
from schemas.identity import content_id
from schemas.records import SOURCES
from schemas.settings import SourceSettings

HUB = "hf://"
READ_BYTES = 1 << 20  # a chunk of a file; also the most that one line may hold in memory
KINDS = {
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
}


class Line(NamedTuple):
    """One line of a source, or row of a table: a prompt, or the reason why it cannot be one."""

    source_id: str
    line: int  # 1-based; for a glob counted through its files
    text: str  # as read; of a refused line the first 2,000 characters
    licence: str = "unknown"
    reason: str | None = None  # set by the reader where the line cannot be judged at all
    detail: str = ""


def source_id(source: SourceSettings) -> str:
    """Content id of location, kind and column mapping (`schemas.records.SOURCES`)."""
    place = source.location if is_hub(source) else str(Path(source.location).expanduser().resolve())
    return content_id("source", place, kind_of(source), source.column, source.split)


def source_name(source: SourceSettings) -> str:
    """The name given, else the file's stem or the hub id."""
    if source.name:
        return source.name
    location = source.location.removeprefix(HUB)
    return location if is_hub(source) else Path(_bare(location)).stem


def is_hub(source: SourceSettings) -> bool:
    return source.kind == "hub" or source.location.startswith(HUB)


def kind_of(source: SourceSettings) -> str:
    """The kind asked for, or what the suffix says; a file without a known suffix is text."""
    if is_hub(source):
        return "hub"
    if source.kind != "auto":
        return source.kind
    return KINDS.get(Path(_bare(source.location)).suffix.lower(), "text")


def _bare(location: str) -> str:
    return location[:-3] if location.endswith(".gz") else location


def files_of(source: SourceSettings) -> list[Path]:
    """The files of a source, sorted by name: a path as given, else relative to the project.

    Raises SourceError for what cannot be read.
    """
    given = Path(source.location).expanduser()
    path = given if given.exists() else PROJECT / given
    if path.is_file():
        return [path]
    if path.is_dir():
        raise SourceError(
            f"{source.location!r} is a directory. Name its files with a glob, such as "
            f"'{source.location.rstrip('/')}/*.txt'."
        )
    if path.exists():
        raise SourceError(f"{source.location!r} is not a regular file.")
    if glob.has_magic(source.location):
        files = [found for found in matching(source.location) if found.is_file()]
        if not files:
            raise SourceError(f"No file matches {source.location!r}.")
        return files
    raise SourceError(
        f"There is no file {source.location!r}, here or in {PROJECT}. Check the path of the source."
    )


def fingerprint(source: SourceSettings, limit: int | None = None) -> str:
    """What decides whether a source must be read again: its identity, its content, the limit.

    The content is a hash of the bytes, streamed, or the revision of a hub dataset.  Raises
    SourceError.
    """
    if is_hub(source):
        from models.collect.hub import revision_of

        content = revision_of(source)
    else:
        content = hash_files(files_of(source))
    return content_id("fingerprint", source_id(source), content, limit)


def hash_files(files: list[Path]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in files:
        try:
            with path.open("rb") as file:
                # The size in front keeps "ab" + "c" apart from "a" + "bc".
                digest.update(path.stat().st_size.to_bytes(8, "big"))
                while chunk := file.read(READ_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror or error}.") from error
    return digest.hexdigest()


def source_row(
    source: SourceSettings,
    lines: int,
    collected_at: datetime,
    limit: int | None = None,
    seen: str | None = None,
) -> pa.Table:
    """One row of SOURCES; append it last, for it says that all lines were committed.

    `seen` is the fingerprint taken before the lines were read: of a file that grows meanwhile, the
    new lines are then found by the next build.
    """
    row = {
        "source_id": source_id(source),
        "name": source_name(source),
        "kind": kind_of(source),
        "location": source.location,
        "licence": source.licence,
        "fingerprint": seen or fingerprint(source, limit),
        "lines": lines,
        "collected_at": collected_at,
    }
    return pa.Table.from_pylist([row], schema=SOURCES)


def shards(lines: Iterable[Line], size: int) -> Iterator[list[Line]]:
    """Lists of up to `size` lines, in order."""
    lines = iter(lines)
    while shard := list(islice(lines, size)):
        yield shard
