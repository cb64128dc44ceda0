"""Content units and kinds of edit: what teacher, reward, evaluation and chat talk about."""

from enum import StrEnum
from typing import Literal, NamedTuple

UnitRole = Literal["keep", "add", "remove"]


class Unit(NamedTuple):
    """A phrase such as "blue car" (never "blue" alone) and what must happen to it.

    `keep`: in the raw prompt and in the target; `add`: in the target only; `remove`: in the raw
    prompt only.
    """

    role: UnitRole
    text: str


class EditKind(StrEnum):
    """What an instruction asks for; the teacher balances its proposals over these."""

    ADD = "add"
    REMOVE = "remove"
    REPLACE = "replace"
    ATTRIBUTE = "attribute"
    STYLE = "style"
    LIGHTING = "lighting"
    COMPOSITION = "composition"
    BEAUTIFY = "beautify"
    COMPOUND = "compound"  # several edits in one instruction
    FOLLOW_UP = "follow_up"  # a second turn: edits the target of an earlier triple


# Decide has one rule for edits of content and one for edits of looks.
LOOKS_KINDS = frozenset(
    {EditKind.STYLE, EditKind.LIGHTING, EditKind.COMPOSITION, EditKind.BEAUTIFY}
)
CONTENT_KINDS = frozenset(EditKind) - LOOKS_KINDS
