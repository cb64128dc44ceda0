"""Which words of a prompt were kept, added or removed: what the page and the terminal colour."""

import re
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Change = Literal["kept", "added", "removed"]
_WORD = re.compile(r"\s+|[^\W_]+(?:['’-][^\W_]+)*|.", re.DOTALL)


class Piece(NamedTuple):
    """A run of text and what became of it."""

    text: str
    change: Change


def changes(old: str, new: str) -> list[Piece]:
    """The pieces of both prompts in reading order; kept + added is `new`, letter by letter."""
    before, after = _WORD.findall(old), _WORD.findall(new)
    folded = [word.casefold() for word in before], [word.casefold() for word in after]
    pieces: list[Piece] = []
    matcher = SequenceMatcher(None, *folded, autojunk=False)
    for what, a, b, c, d in matcher.get_opcodes():
        if what == "equal":
            pieces.append(Piece("".join(after[c:d]), "kept"))
            continue
        if a < b:
            pieces.append(Piece("".join(before[a:b]), "removed"))
        if c < d:
            pieces.append(Piece("".join(after[c:d]), "added"))
    return pieces
