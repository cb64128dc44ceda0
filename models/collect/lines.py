"""Physical lines of a file of any size in bounded memory, decoded, each with what is wrong with it.

UTF-8 with or without a byte order mark; UTF-16 and UTF-32 by their mark; `.gz` is unpacked on the
way.  A line longer than a chunk is never held whole: its beginning is kept and the rest skipped.
Left out: guessing of encodings, for a wrong guess spoils prompts in silence.
"""

import codecs
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from models.collect.source import READ_BYTES
from schemas.errors import SourceError

MARKS = (  # UTF-32 first: its mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SNIFF_BYTES = 8_192
MAX_BINARY_SHARE = 0.3  # of a text's bytes that no text has (our choice)
KEPT_CHARACTERS = 2_000  # of a refused line
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\f\r\x1b") | {127}


class Physical(NamedTuple):
    """A line without its end; `reason` and `detail` as in `Line`."""

    text: str
    reason: str | None = None
    detail: str = ""


def physical_lines(path: Path) -> Iterator[Physical]:
    """The lines of a text file.  Raises SourceError for an empty, binary or unreadable one."""
    for raw, length in _split(_utf8_chunks(path)):
        yield _decode(raw, length)


def text_chunks(path: Path) -> Iterator[str]:
    """The text of a file in pieces; bytes that are not UTF-8 become U+FFFD.  Raises SourceError."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    for chunk in _utf8_chunks(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _utf8_chunks(path: Path) -> Iterator[bytes]:
    try:
        with _open(path) as file:
            head = file.read(SNIFF_BYTES)
            if not head:
                raise SourceError(f"{path} is empty: there is nothing to collect in it.")
            yield from _utf8(head, file, _encoding(head, path))
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path} cannot be read: {error}.") from error


def _open(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def _encoding(head: bytes, path: Path) -> str:
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    strange = sum(byte in _CONTROLS for byte in head)
    strange += head.decode("utf-8", "replace").count("\ufffd")
    if strange > MAX_BINARY_SHARE * len(head):
        raise SourceError(
            f"{path} is not a text file in UTF-8 ({strange} of its first {len(head)} bytes are "
            "not text). If it is text in another encoding, convert it, for example with "
            "`iconv -f latin1 -t utf-8`; if it is a table, give its kind."
        )
    return "utf-8"


def _utf8(head: bytes, file: BinaryIO, encoding: str) -> Iterator[bytes]:
    """Chunks in UTF-8; what another encoding cannot read becomes U+FFFD and is refused later."""
    if encoding == "utf-8":
        yield head.removeprefix(codecs.BOM_UTF8)
        while chunk := file.read(READ_BYTES):
            yield chunk
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    yield decoder.decode(head).encode("utf-8", "replace")
    while chunk := file.read(READ_BYTES):
        yield decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _split(chunks: Iterator[bytes]) -> Iterator[tuple[bytes, int]]:
    """Lines as (bytes, length); of one longer than a chunk only the beginning."""
    rest, skipped = b"", 0
    for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        if whole:
            first, *others = whole
            yield rest + first[:READ_BYTES], len(rest) + skipped + len(first)
            for raw in others:
                yield raw, len(raw)
            rest, skipped = tail, 0
        elif len(rest) < READ_BYTES:
            rest += tail
        else:
            skipped += len(tail)
    if rest:
        yield rest, len(rest) + skipped


def _decode(raw: bytes, length: int) -> Physical:
    if length > READ_BYTES:
        start = raw[: 4 * KEPT_CHARACTERS].decode("utf-8", "replace")[:KEPT_CHARACTERS]
        return Physical(start, "too_long", f"a line of {length:,} bytes")
    raw = raw.removesuffix(b"\r")
    try:
        return Physical(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = raw.decode("utf-8", "backslashreplace")[:KEPT_CHARACTERS]
        byte = raw[error.start]
        return Physical(
            text,
            "not_text",
            f"byte 0x{byte:02x} at {error.start + 1} is not UTF-8; convert the file to UTF-8",
        )
