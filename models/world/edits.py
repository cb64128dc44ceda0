"""Edits of world prompts: (raw prompt, instruction, target prompt, intent, units, scenes).

An edit changes the scene first; both prompts are then said in one voice, so that the target keeps
every word the instruction does not touch, and the units are read off the wording.  The finish words
of a beautified target are picked blind to the scene: which of them help is not known here.  Leaves
out whether an edit makes a better picture.

`python -m models.world.edits 20 [--hard]` prints examples.
"""

import argparse
import random
from dataclasses import dataclass, replace

from models.world import phrasings
from models.world.changes import EDITS, HARD_PARTS, PARTS, Change, Edit
from models.world.grammar import Voice, intent_of, sample_raw_scene, sample_voice, say
from models.world.scene import Scene, is_unseen_combination
from schemas.errors import ModelError
from schemas.units import EditKind, Unit

HARD_UNITS = 3  # least number of units to add or remove on the hard split


@dataclass(frozen=True)
class EditExample:
    """One triple of the world with everything that is known about it.

    `earlier` holds (raw prompt, instruction) of the turn before for a follow-up, else None.
    """

    kind: EditKind
    raw_prompt: str
    instruction: str
    target_prompt: str
    intent: str
    units: tuple[Unit, ...]
    before: Scene
    after: Scene
    earlier: tuple[str, str] | None = None


def _clause(change: Change, g: random.Random, *, imperative: bool) -> str:
    """A template filled in; only templates whose fields are all there."""
    while True:
        template = g.choice(change.templates)
        if imperative and template.startswith("!"):
            continue
        try:
            return template.format(**change.fields)
        except KeyError:
            continue


def _dress(clause: str, g: random.Random, wrappers: tuple[str, ...]) -> str:
    """Politeness, a capital and a full stop, as often as people bother (our choice)."""
    if clause.startswith("!"):
        text = clause[1:]
    else:
        text = g.choice(wrappers).format(clause)
    if g.random() < 0.4:
        text = text[0].upper() + text[1:]
    if text[-1] not in "?!." and g.random() < 0.25:
        text += "."
    return text


def _units(
    before: dict[str, str], after: dict[str, str], target: str, asked: bool
) -> tuple[Unit, ...]:
    """Typed units from two wordings in one voice.

    What the target still contains literally is never listed as removed ("car" → "blue car"), and
    nothing as added that the instruction did not name (`asked` False: a beautified prompt).
    """
    kept = [Unit("keep", text) for slot, text in before.items() if after.get(slot) == text]
    added = [
        Unit("add", text) for slot, text in after.items() if asked and before.get(slot) != text
    ]
    words = f" {target.lower().replace(',', ' ').rstrip('.')} ".replace("  ", " ")
    gone = [
        Unit("remove", text)
        for slot, text in before.items()
        if after.get(slot) != text and f" {text} " not in words
    ]
    return (*kept, *added, *gone)


def sample_edit(
    generator: random.Random,
    kind: EditKind | None = None,
    *,
    start: tuple[Scene, Voice] | None = None,
    unseen: bool | None = False,
) -> EditExample:
    """An edit of a random raw prompt, or of `start`; `kind` None draws a kind uniformly.

    `unseen` as in `sample_scene`, asked of the scene before or after (False: of neither).
    Raises `ModelError` if `start` allows no edit of this kind.
    """
    kind = kind or generator.choice(list(EditKind))
    if kind is EditKind.FOLLOW_UP:
        return _follow_up(generator, unseen)
    for _ in range(200):
        rich = kind in (EditKind.COMPOUND, EditKind.REMOVE)
        scene, voice = start or (
            sample_raw_scene(generator, unseen=False if unseen is False else None, rich=rich),
            sample_voice(generator),
        )
        number = generator.choice((2, 2, 3)) if kind is EditKind.COMPOUND else 1
        parts = PARTS if kind is EditKind.COMPOUND else EDITS[kind]
        example = _make(kind, scene, voice, generator, parts, number)
        if example and (unseen is None or _shows_unseen(example) == unseen):
            return example
    raise ModelError(f"no {kind} edit fits {start!r}")


def sample_hard_edit(generator: random.Random, *, unseen: bool | None = None) -> EditExample:
    """A compound edit of three parts that adds or removes at least three units.

    `unseen` True asks for held-out combinations, None takes them in half of the cases.
    """
    if unseen is None:
        unseen = generator.random() < 0.5
    while True:
        scene = sample_raw_scene(generator, unseen=None if unseen else False, rich=True)
        voice = sample_voice(generator)
        example = _make(EditKind.COMPOUND, scene, voice, generator, HARD_PARTS, 3)
        if example is None or _shows_unseen(example) != unseen:
            continue
        changed = [unit for unit in example.units if unit.role != "keep"]
        if len(changed) >= HARD_UNITS and any(unit.role == "remove" for unit in changed):
            return example


def _shows_unseen(example: EditExample) -> bool:
    return is_unseen_combination(example.before) or is_unseen_combination(example.after)


def _make(
    kind: EditKind, scene: Scene, voice: Voice, g: random.Random, parts: tuple[Edit, ...],
    number: int, wrappers: tuple[str, ...] = phrasings.WRAPPERS,
) -> EditExample | None:  # fmt: skip
    """`number` changes one after the other, or None if this draw does not fit the scene."""
    after, clauses, touched = scene, [], set()
    for _ in range(number):
        change = g.choice(parts)(after, voice, g)
        if change is None or change.touches in touched:
            return None
        touched |= {change.touches, *(f"group:{group.kind}" for group in change.after.groups
                                      if group not in after.groups)}  # fmt: skip
        clauses.append(_clause(change, g, imperative=number > 1))
        after = change.after
    instruction = clauses[0] if number == 1 else _join(clauses, g)
    old, new = say(scene, voice), say(after, voice)
    if old.text == new.text:
        return None
    return EditExample(
        kind=kind,
        raw_prompt=old.text,
        instruction=_dress(instruction, g, wrappers),
        target_prompt=new.text,
        intent=intent_of(after),
        units=_units(old.units, new.units, new.text, asked="finish" not in touched),
        before=scene,
        after=after,
    )


def _join(clauses: list[str], g: random.Random) -> str:
    if len(clauses) == 2:
        return g.choice(phrasings.COMPOUND_JOINS).join(clauses)
    return f"{', '.join(clauses[:-1])}{g.choice((' and ', ', and ', ', then '))}{clauses[-1]}"


def _follow_up(generator: random.Random, unseen: bool | None) -> EditExample:
    """A second turn, on the target of a first one and in the same voice."""
    while True:
        voice = sample_voice(generator)
        scene = sample_raw_scene(generator, unseen=False if unseen is False else None)
        kind = generator.choice(list(EDITS))
        first = _make(kind, scene, voice, generator, EDITS[kind], 1)
        if first is None:
            continue
        kind = generator.choice(list(EDITS))
        second = _make(
            kind, first.after, voice, generator, EDITS[kind], 1, phrasings.FOLLOW_UP_WRAPPERS
        )
        if second is None or (unseen is not None and _shows_unseen(second) != unseen):
            continue
        return replace(
            second, kind=EditKind.FOLLOW_UP, earlier=(first.raw_prompt, first.instruction)
        )


def _main() -> None:
    parser = argparse.ArgumentParser(description="Print edits of world prompts.")
    parser.add_argument("count", type=int, nargs="?", default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hard", action="store_true")
    arguments = parser.parse_args()
    generator = random.Random(arguments.seed)
    for index in range(arguments.count):
        if arguments.hard:
            example = sample_hard_edit(generator)
        else:
            example = sample_edit(generator, list(EditKind)[index % len(EditKind)])
        units = " ".join(f"{unit.role}:{unit.text!r}" for unit in example.units)
        print(f"[{example.kind}] {example.raw_prompt!r} + {example.instruction!r}")
        print(f"    → {example.target_prompt!r}\n    {units}\n    intent: {example.intent}")


if __name__ == "__main__":
    _main()
