"""Elements of a JSON list of any size, one by one, in bounded memory.

The list may be the file, or the first list inside an object (`{"data": [...]}`).  A file of JSON
lines that is called `.json` is read as such.  An element that cannot be parsed is a row with a
reason, and reading goes on behind it.
"""

import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from models.collect.lines import KEPT_CHARACTERS, Physical, physical_lines, text_chunks
from models.collect.source import READ_BYTES
from models.collect.tables import Row, parse_json, refused
from schemas.errors import SourceError

# JSON strings hold no raw line breaks, so one inside a string shows that a quote is missing.
_INSIDE = re.compile(r'["\\\n]')
_OUTSIDE = re.compile(r'["\[\]{},]')


def json_rows(path: Path) -> Iterator[Row]:
    """The rows of a `.json` file.  Raises SourceError when there is no list in it."""
    chunks = text_chunks(path)
    head = _head(chunks)
    if head[:1] == "{" and _is_lines(head):
        yield from map(parse_json, physical_lines(path))
        return
    if head[:1] not in ("[", "{"):
        raise SourceError(
            f"{path} is not a JSON list of objects or strings: it begins with {head[:20]!r}."
        )
    yield from _elements(chain((head,), chunks), path)


def _head(chunks: Iterator[str]) -> str:
    """Text from the first character that is no white space, a full chunk of it if there is."""
    head = ""
    for chunk in chunks:
        head = (head + chunk).lstrip()
        if len(head) >= READ_BYTES:
            break
    return head


def _is_lines(head: str) -> bool:
    """Whether the first line is a whole object: then the file is JSON lines under another name.

    Alone and with a list in it, such as `{"data": [...]}`, it is a list that has been wrapped.
    """
    first, _, others = head.partition("\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    return bool(others.strip()) or not any(isinstance(item, list) for item in value.values())


class _Element:
    """Text of the element being read; of one longer than a chunk only the beginning."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.length = 0

    def add(self, piece: str) -> None:
        if self.length <= READ_BYTES:
            self.pieces.append(piece)
        self.length += len(piece)

    def take(self) -> Physical:
        text, length = "".join(self.pieces).strip(), self.length
        self.pieces, self.length = [], 0
        if length > READ_BYTES:
            detail = f"an element of {length:,} characters"
            return Physical(text[:KEPT_CHARACTERS], "too_long", detail)
        return Physical(text)


def _elements(chunks: Iterator[str], path: Path) -> Iterator[Row]:
    """Split the first list at its commas, knowing of strings and nesting but of nothing else."""
    element = _Element()
    begun = ended = in_string = escaped = False
    count = depth = 0
    for chunk in chunks:
        start = place = 0
        while not ended:
            if escaped and place < len(chunk):
                place, escaped = place + 1, False
            found = (_INSIDE if in_string else _OUTSIDE).search(chunk, place)
            if escaped or found is None:
                break
            mark, place = found.group(), found.end()
            if in_string and mark == "\n" and begun:
                element.add(chunk[start:place])
                start, in_string, depth, count = place, False, 0, count + 1
                yield parse_json(element.take())
            elif in_string:
                escaped = mark == "\\"
                in_string = escaped
            elif mark == '"':
                in_string = True
            elif not begun:
                begun = mark == "["
                start = place
            elif mark in "[{":
                depth += 1
            elif mark in "]}" and depth:
                depth -= 1
            elif mark in ",]" and not depth:
                element.add(chunk[start : place - 1])
                start, ended = place, mark == "]"
                line = element.take()
                if line.text or not ended or count:
                    count += 1
                    yield parse_json(line)
        if begun:
            element.add(chunk[start:])
    if not begun:
        raise SourceError(f"There is no list of objects or strings in {path}.")
    rest = element.take()
    if rest.text and not (ended and set(rest.text) <= set("]} \n")):
        said = "text behind the end of the list" if ended else "the file ends inside the list"
        yield refused(rest.text, "malformed", said)
