"""A rule-based prompt editor: one proposal for each kind of edit asked for.

`propose(prompt, kinds, seed)` is deterministic and works on any English text, of the embedded world
or not.  Drafts are made, checked and thrown away until one holds; a kind that the prompt has no
place for (nothing to remove) falls back to the nearest that it has, and says so in `kind`.  Leaves
out taste: what is added is drawn blind to the scene.

    python -m models.teacher.offline --edit "a photo of a cat in a park"
"""

import random
from collections.abc import Callable, Mapping, Sequence

from models.integrity import find_unit
from models.integrity.phrases import phrases_of
from models.teacher.offline import content, exchange, looks
from models.teacher.offline.draft import (
    Draft,
    Proposal,
    clause_of,
    dress,
    estimated_tokens,
    flaw_of,
    intent_of,
    units_between,
)
from models.teacher.offline.pools import Pools, phrasings
from models.teacher.offline.reading import Reading, read
from schemas.units import EditKind, Unit

BUDGET = 77  # tokens of a CLIP text encoder, unless the request says otherwise
TRIES = 4  # draws of each operation before the next one is tried

Operation = Callable[[Reading, Pools], Draft | None]
OPERATIONS: dict[EditKind, tuple[Operation, ...]] = {
    EditKind.ADD: (content.add_object, content.add_object, content.add_outfit, content.add_weather),
    EditKind.REMOVE: (content.remove_phrase, content.remove_segment),
    EditKind.REPLACE: (exchange.replace_thing, exchange.replace_place),
    EditKind.ATTRIBUTE: (
        exchange.attribute,
        exchange.attribute,
        exchange.attribute,
        exchange.count,
    ),
    EditKind.STYLE: (looks.style,),
    EditKind.LIGHTING: (looks.lighting,),
    EditKind.COMPOSITION: (looks.composition,),
    EditKind.BEAUTIFY: (looks.beautify, looks.shorter_beautify),
}
# The first kinds of these that the prompt has a place for stand in for one that it has not.
NEAREST = {
    EditKind.ADD: (EditKind.ATTRIBUTE, EditKind.REPLACE),
    EditKind.REMOVE: (EditKind.REPLACE, EditKind.ATTRIBUTE),
    EditKind.REPLACE: (EditKind.ATTRIBUTE, EditKind.ADD),
    EditKind.ATTRIBUTE: (EditKind.REPLACE, EditKind.ADD),
    EditKind.STYLE: (EditKind.LIGHTING, EditKind.COMPOSITION),
    EditKind.LIGHTING: (EditKind.STYLE, EditKind.COMPOSITION),
    EditKind.COMPOSITION: (EditKind.LIGHTING, EditKind.STYLE),
    EditKind.BEAUTIFY: (EditKind.STYLE, EditKind.LIGHTING),
}
ANY = (EditKind.STYLE, EditKind.LIGHTING, EditKind.BEAUTIFY, EditKind.ADD, EditKind.REPLACE,
       EditKind.REMOVE)  # fmt: skip
PARTS = (EditKind.ADD, EditKind.ADD, EditKind.REMOVE, EditKind.REPLACE, EditKind.REPLACE,
         EditKind.ATTRIBUTE, EditKind.ATTRIBUTE, EditKind.STYLE, EditKind.LIGHTING)  # fmt: skip
FOLLOW_UPS = (*PARTS, EditKind.COMPOSITION)


def propose(
    prompt: str,
    kinds: Sequence[EditKind],
    seed: int | str = 0,
    hints: Mapping[str, Sequence[str]] | None = None,
    budget: int = BUDGET,
) -> list[Proposal]:
    """A proposal for each of `kinds`, in order; one is missing only if the prompt is no text.

    `hints` maps names such as "styles" to words to draw from; `budget` is in tokens of the text
    encoder (estimated).  Never raises on any text.
    """
    reading = read(prompt)
    pools = Pools(hints or {}, random.Random(f"{seed}\n{prompt}"))
    found = []
    for kind in kinds:
        proposal = _one(reading, pools, kind, budget)
        if proposal is not None:
            found.append(proposal)
    return found


def _one(reading: Reading, pools: Pools, kind: EditKind, budget: int) -> Proposal | None:
    if kind is EditKind.COMPOUND:
        made = _compound(reading, pools, budget)
        if made:
            return made
        kind = EditKind.ATTRIBUTE
    if kind is EditKind.FOLLOW_UP:
        order = pools.generator.sample(FOLLOW_UPS, len(FOLLOW_UPS))
        return _first(reading, pools, order, budget, reported=EditKind.FOLLOW_UP)
    return _first(reading, pools, (kind, *NEAREST[kind], *ANY), budget)


def _first(
    reading: Reading, pools: Pools, kinds: Sequence[EditKind], budget: int,
    reported: EditKind | None = None,
) -> Proposal | None:  # fmt: skip
    for kind in kinds:
        draft = _draft(reading, pools, kind, budget)
        if draft is not None:
            return _proposal(reading.text, draft, pools, reported or draft.kind)
    return None


def _draft(reading: Reading, pools: Pools, kind: EditKind, budget: int) -> Draft | None:
    """The first draft of this kind that passes its own checks."""
    operations = OPERATIONS[kind]
    if kind is EditKind.BEAUTIFY or kind is EditKind.REMOVE:
        order = list(operations)  # in order of preference
    else:
        order = pools.generator.sample(operations, len(operations))
    for operation in dict.fromkeys(order):
        for _ in range(TRIES):
            draft = operation(reading, pools)
            if draft is None:
                continue
            units = units_between(reading.text, draft.target, draft.adds, draft.removes)
            if flaw_of(reading.text, draft, units, budget) is None:
                return draft
    return None


def _proposal(raw: str, draft: Draft, pools: Pools, kind: EditKind) -> Proposal:
    clause, template = clause_of(draft, pools)
    return Proposal(
        instruction=dress(clause, pools, follow_up=kind is EditKind.FOLLOW_UP),
        kind=kind,
        target_prompt=draft.target,
        intent=intent_of(draft.target),
        units=units_between(raw, draft.target, draft.adds, draft.removes),
        template=template,
    )


def _compound(reading: Reading, pools: Pools, budget: int) -> Proposal | None:
    """Two or three edits one after the other, each on the text the last one left."""
    for _ in range(TRIES):
        number = pools.generator.choice((2, 2, 3))
        drafts: list[Draft] = []
        step = reading
        for kind in pools.generator.sample(PARTS, len(PARTS)):
            draft = _draft(step, pools, kind, budget)
            if draft is None or _clashes(draft, drafts):
                continue
            drafts.append(draft)
            step = read(draft.target)
            if len(drafts) == number:
                break
        if len(drafts) < 2:
            continue
        made = _joined(reading.text, drafts, pools, budget)
        if made:
            return made
    return None


def _clashes(draft: Draft, drafts: Sequence[Draft]) -> bool:
    """Whether it repeats a kind, or undoes or touches what an earlier part did."""
    words = {word for other in drafts for text in (*other.adds, *other.removes)
             for word in text.lower().split()}  # fmt: skip
    mine = {word for text in (*draft.adds, *draft.removes) for word in text.lower().split()}
    return any(draft.kind is other.kind for other in drafts) or bool(words & mine)


def _joined(raw: str, drafts: Sequence[Draft], pools: Pools, budget: int) -> Proposal | None:
    last = drafts[-1]
    adds = tuple(text for draft in drafts for text in draft.adds)
    removes = tuple(text for draft in drafts for text in draft.removes)
    whole = Draft(EditKind.COMPOUND, last.target, last.templates, last.fields, adds, removes)
    units = units_between(raw, whole.target, adds, removes)
    if flaw_of(raw, whole, units, budget) or sum(unit.role != "keep" for unit in units) < 2:
        return None
    clauses = [clause_of(draft, pools, imperative=True) for draft in drafts]
    texts = [text for text, _ in clauses]
    if len(texts) == 2:
        clause = pools.choice(phrasings()[1]["joins"]).join(texts)
    else:
        clause = f"{', '.join(texts[:-1])}{pools.choice((' and ', ', and ', ', then '))}{texts[-1]}"
    return Proposal(
        instruction=dress(clause, pools, follow_up=False),
        kind=EditKind.COMPOUND,
        target_prompt=whole.target,
        intent=intent_of(whole.target),
        units=units,
        template=" + ".join(template for _, template in clauses),
    )


def beautify_pair(
    prompt: str,
    instruction: str,
    target: str,
    seed: int | str = 0,
    hints: Mapping[str, Sequence[str]] | None = None,
    budget: int = BUDGET,
) -> list[Proposal]:
    """The paper's recipe: a given edit whose target is beautified, its content left alone.

    The words of finish depend on `prompt` and `seed` only, so both captions get the same ones.
    """
    reading = read(target)
    pools = Pools(hints or {}, random.Random(f"{seed}\n{prompt}"))
    draft = looks.beautify(reading, pools)
    if draft is None or estimated_tokens(draft.target) > max(budget, estimated_tokens(target)):
        draft = looks.shorter_beautify(reading, pools) or Draft(
            EditKind.BEAUTIFY, target, "beautify", {}
        )
    units = read_units(prompt, instruction, draft.target)
    return [
        Proposal(instruction, EditKind.BEAUTIFY, draft.target, intent_of(target), units, "given")
    ]


def read_units(raw: str, instruction: str, target: str) -> tuple[Unit, ...]:
    """Units of an edit that somebody else made: what differs between its two prompts."""
    named = {phrase.text for phrase in phrases_of(raw)}
    fresh = tuple(
        phrase.text for phrase in phrases_of(target)
        if phrase.text not in named and any(find_unit(word, instruction)
                                            for word in phrase.text.split())
    )  # fmt: skip
    gone = tuple(text for text in named if not find_unit(text, target))
    return units_between(raw, target, fresh, gone)
