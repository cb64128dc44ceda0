"""What changed between two prompts, word by word."""

import re
from difflib import SequenceMatcher
from typing import NamedTuple

LONGEST = 1_500  # characters of a prompt that are shown and compared


class Piece(NamedTuple):
    """A run of text: same, new (only in the second) or gone (only in the first)."""

    kind: str
    text: str


def difference(before: str, after: str) -> list[Piece]:
    """Pieces of `after` with what was taken out of `before` in its place.

    Spaces belong to the word before them, so the pieces that are not gone make up `after`.
    """
    old, new = _words(before), _words(after)
    bare = [[word.strip().lower().rstrip(",.;") for word in words] for words in (old, new)]
    pieces: list[Piece] = []
    for tag, a, b, c, d in SequenceMatcher(None, *bare, autojunk=False).get_opcodes():
        if tag in ("replace", "delete") and b > a:
            pieces.append(Piece("gone", "".join(old[a:b])))
        if tag in ("replace", "insert") and d > c:
            pieces.append(Piece("new", "".join(new[c:d])))
        if tag == "equal":
            pieces.append(Piece("same", "".join(new[c:d])))
    return pieces


def cut(text: str) -> str:
    """The text as it is shown: what is endless is cut, and says so."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… ({len(text):,} characters)"


def _words(text: str) -> list[str]:
    return re.findall(r"\S+\s*|\s+", cut(text))
