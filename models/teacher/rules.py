"""Rule checks of a proposal: each violation is a word, a colon and what is concerned.

A triple with any violation is stored and never rendered.  Checked: the instruction and the intent
are there; the target differs; units stand where they claim; protected syntax survives; nothing is
too long.  Leaves out taste: pictures decide that.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence

from models.integrity import content_integrity, find_unit
from models.integrity.lexicon import word_sets
from models.teacher.syntax import QUOTES, protected_syntax
from schemas.units import Unit

MAX_INSTRUCTION_CHARACTERS = 500  # our choice, as all of these: ten times what people type
MAX_INTENT_CHARACTERS = 1_000
MAX_TARGET_CHARACTERS = 4_000
MAX_UNIT_CHARACTERS = 200
MAX_UNITS = 40

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")

CountTokens = Callable[[str], int]


def violations(
    raw_prompt: str,
    instruction: str,
    target_prompt: str,
    intent: str,
    units: Sequence[Unit],
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
) -> list[str]:
    """All rules that a proposal breaks; empty if it may be rendered.

    `count_tokens` counts as the text encoder does, without special tokens; `token_budget` is what
    it takes.  Without them the length in tokens is not checked.
    """
    found = _texts(raw_prompt, instruction, target_prompt, intent)
    if count_tokens and token_budget is not None:
        tokens = count_tokens(target_prompt) if len(target_prompt) <= MAX_TARGET_CHARACTERS else -1
        if tokens > token_budget:
            found.append(f"target_tokens:{tokens} of {token_budget}")
    found += _syntax(raw_prompt, target_prompt, units)
    return found + _units(raw_prompt, target_prompt, units)


def _texts(raw_prompt: str, instruction: str, target_prompt: str, intent: str) -> list[str]:
    found = []
    if not instruction.strip():
        found.append("instruction:empty")
    if len(instruction) > MAX_INSTRUCTION_CHARACTERS:
        found.append(f"instruction:{len(instruction)} characters")
    if not target_prompt.strip():
        found.append("target:empty")
    if len(target_prompt) > MAX_TARGET_CHARACTERS:
        found.append(f"target:{len(target_prompt)} characters")
    if _plain(target_prompt) == _plain(raw_prompt):
        found.append("target:same as the raw prompt")
    if not intent.strip():
        found.append("intent:empty")
    if len(intent) > MAX_INTENT_CHARACTERS:
        found.append(f"intent:{len(intent)} characters")
    if any(_unprintable(text) for text in (instruction, target_prompt, intent)):
        found.append("text:control characters")
    return found


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(" .,")


def _unprintable(text: str) -> bool:
    return _CONTROL.search(text) is not None


def _syntax(raw_prompt: str, target_prompt: str, units: Sequence[Unit]) -> list[str]:
    """Protected pieces that got lost, but for those an instruction asked to remove."""
    lost = Counter(protected_syntax(raw_prompt)) - Counter(protected_syntax(target_prompt))
    removed = [unit.text for unit in units if unit.role == "remove"]
    return [
        f"syntax:{piece}" for piece in lost if not any(piece.strip(QUOTES) in r for r in removed)
    ]


def _units(raw_prompt: str, target_prompt: str, units: Sequence[Unit]) -> list[str]:
    """Units that are not where they claim to be."""
    if len(units) > MAX_UNITS:
        return [f"units:{len(units)}"]
    long = [len(unit.text) for unit in units if len(unit.text) > MAX_UNIT_CHARACTERS]
    if long:
        return [f"unit:{length} characters" for length in long]
    found = []
    for unit in units:
        if set(unit.text.lower().split()) <= word_sets().colours:
            found.append(f"colour_alone:{unit.text}")  # of what? "blue car", never "blue"
        there = find_unit(unit.text, raw_prompt) is not None
        if unit.role == "add" and there:
            found.append(f"add_in_raw:{unit.text}")
        if unit.role != "add" and not there:
            found.append(f"{unit.role}_not_in_raw:{unit.text}")
    misses = content_integrity(units, target_prompt).misses
    return found + [f"{miss.unit.role}_in_target:{miss.unit.text}" for miss in misses]
