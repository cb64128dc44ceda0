"""What the base language model reads: prompts, copies, change notes, instructions, idle chats.

The mixture teaches words, copying, carrying out formal change notes ("- red car", "+ blue boat",
much as real models read patches), and the shape of a chat; it never shows an instruction beside the
prompt that obeys it.  Where a chat has an instruction, its answer is another prompt, or, asked to
list, names what would change: so the model gets to know what instructions mean, as one that has
read much does, but not to follow them (that is left to SFT).  Leaves out tokens
(`models.embedded.language`).
"""

import random
import re
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from models.embedded.english import ADJECTIVES, COLOURS, NOUNS, VERBS, sample_english, sample_word
from models.teacher.offline.editor import propose
from models.world.edits import sample_edit, sample_hard_edit
from models.world.grammar import intent_of, sample_raw_prompt, sample_voice, say
from models.world.scene import sample_scene
from models.world.vocabulary import COLOURS as WORLD_COLOURS
from models.world.vocabulary import FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS
from schemas.chat import SYSTEM
from schemas.units import EditKind, Unit


class Lines(NamedTuple):
    """Lines of plain text; a loss is taken over `learned` only, for `shown` cannot be guessed."""

    shown: tuple[str, ...]
    learned: tuple[str, ...]


class Chat(NamedTuple):
    """Messages of a chat; a loss is taken over the answers only, or over every message."""

    messages: list[dict[str, str]]
    answers_only: bool


Document = Lines | Chat

SYSTEMS = (
    SYSTEM,
    SYSTEM,
    SYSTEM,
    "You improve prompts for pictures.",
    "You are a helpful assistant.",
    "Rewrite the prompt as the user asks.",
    "You chat with a text-to-image model.",
)
# How one change is noted: what goes, what comes.  Either may be empty.
REPLACED = ("- {old} + {new}", "+ {new} - {old}", "{old} > {new}", "{new} < {old}")
REMOVED = ("- {old}", "{old} > nothing")
ADDED = ("+ {new}", "nothing > {new}")
NOTES = "Changes"
LISTING = "You list the changes."
INSTRUCTION = "Instruction"

_TABLES = (KINDS, WORLD_COLOURS, PLACES, TIMES, WEATHERS, FINISHES, FLAWS)
_WORLD_WORDS = [word for table in _TABLES for concept in table.values()
                for word in concept.words + concept.plurals]  # fmt: skip
WORDS = [*_WORLD_WORDS * 2, *NOUNS, *ADJECTIVES, *COLOURS, *VERBS]


def _line(generator: random.Random) -> str:
    """A prompt of the world, mostly raw, else finished; one in five general English."""
    draw = generator.random()
    if draw < 0.2:
        return sample_english(generator)
    if draw < 0.55:
        return sample_raw_prompt(generator)[0]
    return say(sample_scene(generator, finish=0.7), sample_voice(generator)).text


def random_words(generator: random.Random, least: int = 3, most: int = 12) -> list[str]:
    """Words in no order, which cannot be guessed and so can only be copied."""
    if generator.random() < 0.15:
        return [sample_word(generator) for _ in range(generator.randint(2, 5))]
    return generator.choices(WORDS, k=generator.randint(least, most))


def _lines(generator: random.Random) -> Document:
    return Lines((), tuple(_line(generator) for _ in range(3)))


def _copies(generator: random.Random) -> Document:
    """Lines that come again, at once or after others: copying is a skill of its own."""
    shown = []
    for _ in range(generator.choice((1, 1, 2, 3))):
        words = generator.random() < 0.6
        shown.append(" ".join(random_words(generator)) if words else _line(generator))
    return Lines(tuple(shown), tuple(generator.sample(shown, len(shown))))


class _Edit(NamedTuple):
    before: str
    instruction: str
    after: str
    units: Sequence[Unit]


def _sample(generator: random.Random) -> _Edit:
    """An edit in the world's wording, every sixth a hard one, or (every third) the teacher's."""
    draw = generator.random()
    if draw < 1 / 3:
        raw = sample_raw_prompt(generator, rich=generator.random() < 0.5)[0]
        kinds = [generator.choice(list(EditKind))]
        for found in propose(raw, kinds, generator.getrandbits(32)):
            before = found.raw_prompt or raw
            return _Edit(before, found.instruction, found.target_prompt, found.units)
    if draw < 1 / 2:
        example = sample_hard_edit(generator, unseen=False)
    else:
        example = sample_edit(generator)
    return _Edit(example.raw_prompt, example.instruction, example.target_prompt, example.units)


def _instructions(generator: random.Random) -> Document:
    return Lines((), tuple(_sample(generator).instruction for _ in range(3)))


def _intent(generator: random.Random) -> Document:
    scene = sample_scene(generator, finish=0.5)
    return Lines((say(scene, sample_voice(generator)).text,), (intent_of(scene),))


def _pieces(text: str) -> list[str]:
    """Words and commas, so that a comma can come or go without its word."""
    return re.findall(r",|[^\s,]+", text)


def _together(pieces: list[str]) -> str:
    return " ".join(pieces).replace(" ,", ",").strip(", ")


def notes_of(before: str, after: str, generator: random.Random) -> list[str]:
    """The changes between two texts, word by word, in random order and one way of noting each."""
    old, new = _pieces(before), _pieces(after)
    notes = []
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            continue
        fields = {"old": _together(old[i:j]), "new": _together(new[k:m])}
        ways = REPLACED if fields["old"] and fields["new"] else REMOVED if fields["old"] else ADDED
        notes.append(generator.choice(ways).format(**fields))
    return generator.sample(notes, len(notes))


def _changed_words(generator: random.Random) -> tuple[str, str]:
    """Random words before and after one to three random changes."""
    words = random_words(generator, 4, 12)
    changed = list(words)
    for _ in range(generator.choice((1, 1, 2, 3))):
        start = generator.randrange(len(changed) + 1)
        end = min(len(changed), start + generator.choice((0, 1, 1, 2, 3)))
        fresh = generator.choices(WORDS, k=generator.choice((0, 1, 1, 2, 3)))
        if start == end:  # a place that no note names: the end
            start = end = len(changed)
        if changed[:start] + changed[end:] or fresh:
            changed[start:end] = fresh
    return " ".join(words), " ".join(changed)


def _changed(generator: random.Random) -> tuple[str, list[str], str]:
    """(text, notes, the text with the noted changes): of random words, or of the world.

    In the world half of the notes name whole phrases, and the words that go with them ("in a",
    "and") follow from the grammar.
    """
    if generator.random() < 0.35:
        before, after = _changed_words(generator)
        return before, notes_of(before, after, generator), after
    before, _, after, units = _sample(generator)
    if generator.random() < 0.5 and any(unit.role != "keep" for unit in units):
        return before, _noted_units(units, generator), after
    return before, notes_of(before, after, generator), after


def _noted_units(units: Sequence[Unit], generator: random.Random) -> list[str]:
    notes = [generator.choice(REMOVED).format(old=u.text) for u in units if u.role == "remove"]
    notes += [generator.choice(ADDED).format(new=u.text) for u in units if u.role == "add"]
    return generator.sample(notes, len(notes))


def _noted(generator: random.Random) -> Document:
    """A text, notes of changes, and the text with these changes made."""
    before, notes, after = _changed(generator)
    return Lines((before, *notes), (after,))


def _listed(generator: random.Random) -> Document:
    """A chat that lists what an instruction would change, and does not change it."""
    while True:
        before, instruction, _, units = _sample(generator)
        notes = [f"- {unit.text}" for unit in units if unit.role == "remove"]
        notes += [f"+ {unit.text}" for unit in units if unit.role == "add"]
        if notes:
            break
    messages = [{"role": "system", "content": LISTING}]
    _ask(messages, before, INSTRUCTION, instruction, "; ".join(notes))
    return Chat(messages, answers_only=True)


def _start(generator: random.Random) -> list[dict[str, str]]:
    if generator.random() < 0.5:
        return [{"role": "system", "content": generator.choice(SYSTEMS)}]
    return []


def _ask(messages: list[dict[str, str]], prompt: str, label: str, text: str, answer: str) -> None:
    """One more turn in the layout of `schemas.chat`; the first names the prompt."""
    first = not any(message["role"] == "user" for message in messages)
    question = f"{label}: {text}"
    messages += [
        {"role": "user", "content": f"Prompt: {prompt}\n{question}" if first else question},
        {"role": "assistant", "content": answer},
    ]


def noted_chat(generator: random.Random) -> Chat:
    """A chat of one or two turns that asks by change notes."""
    messages = _start(generator)
    before, notes, after = _changed(generator)
    _ask(messages, before, NOTES, "; ".join(notes), after)
    if generator.random() < 0.25:
        words = after.split()
        fresh = generator.choices(WORDS, k=generator.choice((1, 2)))
        start = generator.randrange(len(words))
        again = " ".join([*words[:start], *fresh, *words[start + 1 :]])
        _ask(messages, before, NOTES, "; ".join(notes_of(after, again, generator)), again)
    return Chat(messages, answers_only=True)


def _chat(generator: random.Random) -> Document:
    """A chat whose answer has nothing to do with the instruction: another prompt, or what it is.

    A tenth of the answers repeat the prompt; more would make repeating the habit of the base.
    """
    messages = _start(generator)
    prompt = _line(generator)
    for _ in range(generator.choice((1, 1, 1, 2))):
        answer = prompt if generator.random() < 0.1 else _line(generator)
        _ask(messages, prompt, INSTRUCTION, _sample(generator).instruction, answer)
    return Chat(messages, answers_only=False)


# Kinds of documents with their shares early and late, our choice: change notes are what SFT will
# build on; what instructions mean is read once copying and editing are there.
_MIXTURE: tuple[tuple[Callable[[random.Random], Document], float, float], ...] = (
    (_lines, 0.04, 0.03),
    (_copies, 0.12, 0.06),
    (_noted, 0.24, 0.14),
    (noted_chat, 0.46, 0.36),
    (_listed, 0.0, 0.3),
    (_instructions, 0.03, 0.01),
    (_intent, 0.03, 0.02),
    (_chat, 0.08, 0.08),
)


def sample_document(generator: random.Random, *, late: bool = True) -> Document:
    """One document of the pretraining mixture."""
    kinds, early_shares, late_shares = zip(*_MIXTURE, strict=True)
    return generator.choices(kinds, late_shares if late else early_shares)[0](generator)
