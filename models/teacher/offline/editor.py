"""A rule-based prompt editor: one proposal for each kind of edit asked for.

`propose(prompt, kinds, seed)` is deterministic and works on any English text, of the embedded world
or not.  Drafts are made, checked and thrown away until one holds; a kind that the prompt has no
place for (nothing to remove) falls back to the nearest that it has, and says so in `kind`.  Leaves
out taste: what is added is drawn blind to the scene.

    python -m models.teacher.offline --edit "a photo of a cat in a park"
"""

import random
from collections.abc import Callable, Collection, Mapping, Sequence

from models.integrity import extract_units, find_unit
from models.integrity.asking import wishes_of
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
from schemas.units import EditKind

BUDGET = 77  # tokens of a CLIP text encoder, unless the request says otherwise
TRIES = 5  # draws of each operation before the next one is tried

Operation = Callable[[Reading, Pools], Draft | None]
OPERATIONS: dict[EditKind, tuple[Operation, ...]] = {
    EditKind.ADD: (content.add_object, content.add_object, content.add_outfit, content.add_weather),
    EditKind.REMOVE: (content.remove_phrase, content.remove_segment, content.remove_clause),
    EditKind.REPLACE: (
        exchange.replace_thing,
        exchange.replace_place,
        exchange.replace_material,
    ),
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
    allowed: Collection[EditKind] = tuple(EditKind),
) -> list[Proposal]:
    """A proposal for each of `kinds`, in order; one is missing only if nothing allowed fits.

    `hints` maps names such as "styles" to words to draw from; `budget` is in tokens of the text
    encoder (estimated); a kind that has to fall back does so to one of `allowed`.  Never raises
    on any text.
    """
    reading = read(prompt)
    pools = Pools(hints or {}, _generator(seed, prompt))
    found = []
    for kind in kinds:
        proposal = _one(reading, pools, kind, budget, allowed)
        if proposal is not None:
            found.append(proposal)
    return found


def _generator(seed: int | str, prompt: str) -> random.Random:
    """Bytes, because a lone surrogate has no UTF-8."""
    return random.Random(f"{seed}\n{prompt}".encode("utf-8", "surrogatepass"))


def _one(
    reading: Reading, pools: Pools, kind: EditKind, budget: int, allowed: Collection[EditKind]
) -> Proposal | None:
    if kind is EditKind.COMPOUND:
        made = _compound(reading, pools, budget)
        if made:
            return made
        kind = EditKind.ATTRIBUTE
    if kind is EditKind.FOLLOW_UP:
        order = pools.generator.sample(FOLLOW_UPS, len(FOLLOW_UPS))
        return _first(reading, pools, order, budget, reported=EditKind.FOLLOW_UP)
    order = [other for other in (kind, *NEAREST[kind], *ANY) if other in allowed]
    return _first(reading, pools, order, budget)


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
    keeps_content = draft.kind is EditKind.BEAUTIFY or bool(draft.looks)
    return Proposal(
        instruction=dress(clause, pools, follow_up=kind is EditKind.FOLLOW_UP),
        kind=kind,
        target_prompt=draft.target,
        intent=intent_of(raw if keeps_content else draft.target),
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
        intent=intent_of(whole.target, [text for draft in drafts for text in draft.looks]),
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
) -> Proposal:
    """The paper's recipe: a given edit, both prompts beautified by the same words."""
    pools = Pools(hints or {}, _generator(seed, prompt))
    free = [word for word in pools.list("finishes")
            if not find_unit(word, prompt) and not find_unit(word, target)]  # fmt: skip
    words = pools.generator.sample(free, min(len(free), pools.generator.choice((2, 3, 3, 4))))
    longer = max(prompt, target, key=estimated_tokens)
    while words and estimated_tokens(f"{longer}, {', '.join(words)}") > budget:
        words.pop()
    raw, target = (looks.tagged(read(text), ", ".join(words)) if words else text
                   for text in (prompt, target))  # fmt: skip
    units = extract_units(raw, instruction, target)
    return Proposal(
        instruction, kind_of(instruction), target, intent_of(target), units, "given", raw
    )


# What the first wish of an instruction makes it; several wishes make a compound.
_KIND_OF_WISH = {
    "add": EditKind.ADD, "remove": EditKind.REMOVE, "only": EditKind.REMOVE,
    "replace": EditKind.REPLACE, "place": EditKind.REPLACE, "describe": EditKind.ATTRIBUTE,
    "time": EditKind.LIGHTING, "style": EditKind.STYLE, "swap": EditKind.COMPOSITION,
    "nothing": EditKind.BEAUTIFY,
}  # fmt: skip


def kind_of(instruction: str) -> EditKind:
    """The kind of edit that an instruction asks for, by rule."""
    wishes = wishes_of(instruction)
    return EditKind.COMPOUND if len(wishes) > 1 else _KIND_OF_WISH[wishes[0].verb]
