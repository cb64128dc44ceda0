"""What a rewrite must not lose: weights, BREAK, LoRA tags, quoted text, locked words, the budget.

Rewriters are known to damage syntax that other programs read, so the model is not trusted with it:
what its answer lost is put back, in place where the bare words still stand, else at the end.  What
the instruction itself names may go.  Pure; leaves out who writes the answer.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from models.integrity import find_unit
from models.teacher.syntax import PROTECTED
from schemas.chat import SYSTEM
from schemas.errors import ChatError, PromptTooLong

LONGEST_LOOP = 80  # characters; our choice
ROUNDS = 6  # nobody says the same so often on purpose; our choice
_FENCE = re.compile(r"^```\w*\s*|\s*```$")
_LABEL = re.compile(
    r"^(?:(?:new|revised|updated|rewritten|improved)\s+)?prompt\s*:\s*", re.IGNORECASE
)
_QUOTES = {'"': '"', "“": "”", "'": "'"}
_GONE = re.compile(r"\b(?:remove|delete|drop|without|no more|get rid of|take out|take away|lose)\b")


class Protected(NamedTuple):
    """The prompt with what it had lost, and those pieces."""

    prompt: str
    restored: tuple[str, ...]


class Fitted(NamedTuple):
    """The prompt within its budget, and the clauses left out for it."""

    prompt: str
    dropped: tuple[str, ...]


def clean_answer(text: str, raw_prompt: str) -> str:
    """The prompt in a model's answer: without fences, label, quotes around it, line breaks.

    Raises ChatError if there is none, if the answer is the model's instructions, or if the model
    ran into a loop, as small models do where an instruction is strange to them.
    """
    text = _FENCE.sub("", text.strip())
    text = _LABEL.sub("", one_line(text))
    opening = text[:1]
    wrapped = opening in _QUOTES and len(text) > 2 and text[-1] == _QUOTES[opening]
    if wrapped and text.count(opening) <= 2 and not raw_prompt.startswith(opening):
        text = text[1:-1].strip()
    if not re.search(r"\w", text):
        raise ChatError("The model answered with nothing: say it in other words, or undo.")
    if SYSTEM.rstrip(".").casefold() in text.casefold():
        raise ChatError(
            "The model answered with its own instructions instead of a prompt, so nothing was "
            "changed: say what the picture should show."
        )
    looped = _loop(text)
    if looped and not _loop(raw_prompt):
        raise ChatError(
            f"The model began to repeat itself ({looped.strip(' ,')!r}, over and over), so nothing "
            "was changed: say it in other words."
        )
    return text


def _loop(text: str) -> str:
    """What a text ends in, over and over; "" if it does not."""
    for length in range(2, LONGEST_LOOP + 1):
        end = text[-length:]
        if text.endswith(end * ROUNDS) and any(c.isalnum() for c in end):
            return end
    return ""


_JOINERS = "\u200c\u200d"  # emoji and several scripts are written with them


def one_line(text: str) -> str:
    """Text without control, formatting and direction marks, on one line; "" for nothing visible."""
    kept = "".join(c if c.isprintable() or c in _JOINERS else " " for c in text)
    return " ".join(kept.split()) if kept.strip(f"{_JOINERS} ") else ""


def protect(old: str, new: str, instruction: str, lock: Iterable[str] = ()) -> Protected:
    """`new` with every protected piece of `old` and every locked phrase that `old` has.

    A piece whose words the instruction asks away is let go; a locked phrase never is.
    """
    lock = tuple(lock)
    restored: list[str] = []
    have = Counter(match.group() for match in PROTECTED.finditer(new))
    for match in PROTECTED.finditer(old):
        piece = match.group()
        if have[piece] > 0:
            have[piece] -= 1
        elif not _asked_away(piece, instruction) or _locked(piece, lock):
            new = _put_back(piece, old[match.end() :], new)
            restored.append(piece)
    for phrase in lock:
        if _says(phrase, old) and not _says(phrase, new):
            new = _at_the_end(phrase, new)
            restored.append(phrase)
    return Protected(new, tuple(restored))


def _core(piece: str) -> str:
    """The bare words of a piece: "red hat" of "(red hat:1.2)"."""
    core = piece.strip('()[]{}<>"“”')
    core = re.sub(r"^(?:lora|lyco|hypernet|embedding):", "", core)
    return re.sub(r"(?::\s*-?\d*\.?\d+\s*)+$", "", core).strip()


def _asked_away(piece: str, instruction: str) -> bool:
    core, asked = _core(piece).casefold(), instruction.casefold()
    if piece in instruction or (
        len(core) > 2 and re.search(rf"(?<!\w){re.escape(core)}(?!\w)", asked)
    ):
        return True
    words = set(re.findall(r"\w+", core))
    heads = {core.split()[-1]} if core.split() else set()
    named = heads & set(re.findall(r"\w+", asked))
    return bool(words and named and _GONE.search(asked))


def _locked(piece: str, lock: Iterable[str]) -> bool:
    return any(phrase.casefold() in piece.casefold() for phrase in lock)


def _says(phrase: str, prompt: str) -> bool:
    return phrase.casefold() in prompt.casefold() or find_unit(phrase, prompt) is not None


def _put_back(piece: str, behind: str, new: str) -> str:
    core = _core(piece)
    if piece == "BREAK":
        return _break_before(behind, new)
    for match in PROTECTED.finditer(new):  # the same words, their weight or quotes changed
        if core and _core(match.group()).casefold() == core.casefold():
            return new[: match.start()] + piece + new[match.end() :]
    if core and piece[0] not in "<-{":
        bare = re.search(rf"(?<!\w){re.escape(core)}(?!\w)", new, re.IGNORECASE)
        if bare:
            return new[: bare.start()] + piece + new[bare.end() :]
    return _at_the_end(piece, new)


def _break_before(behind: str, new: str) -> str:
    """BREAK goes before the words that followed it, as many of them as are still there."""
    following = behind.strip(" ,\n").split("BREAK")[0].split(",")[0].strip()
    words = following.split()
    for length in range(min(4, len(words)), 0, -1):
        place = new.find(" ".join(words[:length]))
        if place > 0:
            return f"{new[:place].rstrip()} BREAK {new[place:]}"
    return f"{new.rstrip(' ,')} BREAK"


def _at_the_end(piece: str, new: str) -> str:
    flags = re.search(r"\s--[a-zA-Z]", new)  # flags stay last
    if piece.startswith("--"):
        return f"{new.rstrip()} {piece}"
    body, tail = (new[: flags.start()], new[flags.start() :]) if flags else (new, "")
    joint = " " if piece.startswith("<") else ", "
    return f"{body.rstrip(' ,')}{joint}{piece}{tail}" if body.strip() else f"{piece}{tail}"


def fit(
    prompt: str, count: Callable[[str], int], budget: int, needed: Iterable[str], reader: str
) -> Fitted:
    """`prompt` within `budget` tokens: clauses go from the end, those with a `needed` phrase stay.

    Raises PromptTooLong when what must stay is too long by itself; `reader` names the model.
    """
    needed, dropped = tuple(needed), []
    while (tokens := count(prompt)) > budget:
        clauses = _clauses(prompt)
        free = [
            place
            for place, clause in enumerate(clauses)
            if place > 0
            and not PROTECTED.search(clause)
            and not any(_says(n, clause) for n in needed)
        ]
        if not free:
            raise PromptTooLong(
                f"The new prompt has {tokens} tokens, {reader} reads {budget}: take something "
                f"out first. It would have been: {prompt[:200]!r}"
            )
        dropped.append(clauses.pop(free[-1]).strip())
        prompt = ",".join(clauses).rstrip(" ,")
    return Fitted(prompt, tuple(dropped))


def _clauses(prompt: str) -> list[str]:
    """The prompt cut at its commas, except at those inside protected syntax."""
    spans = [match.span() for match in PROTECTED.finditer(prompt)]
    cuts = [
        match.start()
        for match in re.finditer(",", prompt)
        if not any(first <= match.start() < end for first, end in spans)
    ]
    return [prompt[a:b] for a, b in zip([0, *(c + 1 for c in cuts)], [*cuts, None], strict=True)]
