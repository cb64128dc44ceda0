"""A draft of an edit, and what makes a proposal of it: units read off both prompts, the intent,
the instruction in somebody's words, and the checks that refuse a draft that went wrong.

Leaves out the edits themselves (`content.py`, `looks.py`).
"""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache

from models.integrity import find_all, find_unit
from models.integrity.lexicon import word_sets
from models.integrity.score import Span
from models.teacher.offline.english import capital
from models.teacher.offline.pools import Pools, phrasings
from models.teacher.offline.reading import read
from models.teacher.syntax import QUOTES, protected_syntax
from schemas.units import LOOKS_KINDS, EditKind, Unit

MAX_KEPT = 8  # units to keep that are listed: the first ones say what the picture is of
MAX_UNIT_WORDS = 5
_MEDIUM_START = re.compile(
    r"^(?:an? |the )?(?:[\w'-]+ ){0,4}?(?:photo(?:graph)?|picture|image|painting|drawing|sketch|"
    r"illustration|render(?:ing)?|portrait|watercolor|poster|shot|close-up|closeup|logo|icon|"
    r"still|screenshot|view) of\s+",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Draft:
    """One edit of a prompt: the text after it, which templates ask for it, what fills them.

    `adds` and `removes` are the phrases the instruction names.  `asked` False: the instruction
    names nothing (a beautified prompt).
    """

    kind: EditKind
    target: str
    templates: str
    fields: dict[str, str]
    adds: tuple[str, ...] = ()
    removes: tuple[str, ...] = ()
    touches: str = ""  # two edits of one compound must not touch the same thing

    @property
    def looks(self) -> tuple[str, ...]:
        """What was added for its looks; a time of day is content."""
        return self.adds if self.kind in LOOKS_KINDS and self.templates != "time" else ()


@dataclass(frozen=True)
class Proposal:
    """What the teacher answers: one triple."""

    instruction: str
    kind: EditKind
    target_prompt: str
    intent: str
    units: tuple[Unit, ...]
    template: str = field(default="", compare=False)
    raw_prompt: str | None = None  # where the raw prompt was rewritten too


def clause_of(draft: Draft, pools: Pools, *, imperative: bool = False) -> tuple[str, str]:
    """A template of the draft filled in, and the template itself."""
    templates = [
        template
        for template in phrasings()[0][draft.templates]
        if not (imperative and template.startswith("!")) and _fits(template, draft.fields)
    ]
    template = pools.choice(templates)
    return template.format(**draft.fields), template


def _fits(template: str, fields: dict[str, str]) -> bool:
    return all(name in fields for name in re.findall(r"\{(\w+)\}", template))


def dress(clause: str, pools: Pools, *, follow_up: bool) -> str:
    """Politeness, a capital and a full stop, as often as people bother (our choice)."""
    wrappers = phrasings()[1]
    if clause.startswith("!"):
        text = clause[1:]
        if follow_up:
            text = pools.choice(wrappers["follow_up_sentence"]).format(text)
    else:
        text = pools.choice(wrappers["follow_up" if follow_up else "first"]).format(clause)
    if pools.chance(0.55):
        text = capital(text)
    elif text.startswith("I "):
        text = "i" + text[1:] if pools.chance(0.5) else text
    if text[-1] not in '?!."' and pools.chance(0.35):
        text += "."
    return text


@lru_cache(maxsize=256)
def units_between(raw: str, target: str, adds: tuple[str, ...], removes: tuple[str, ...]
                  ) -> tuple[Unit, ...]:  # fmt: skip
    """Typed units, each checked against both prompts; one that does not hold is left out."""
    added = [Unit("add", text) for text in dict.fromkeys(adds)
             if find_unit(text, target) and not find_unit(text, raw)]  # fmt: skip
    gone = [Unit("remove", text) for text in dict.fromkeys(removes)
            if find_unit(text, raw) and not find_unit(text, target)]  # fmt: skip
    spans = [span for unit in added for span in find_all(unit.text, target)]
    changed = {text.lower() for text in (*adds, *removes)}
    kept: dict[str, Unit] = {}
    for text in _phrases_to_keep(raw):
        if len(kept) == MAX_KEPT:
            break
        colour_alone = set(text.lower().split()) <= word_sets().colours
        if colour_alone or text.lower() in changed or text.lower() in kept:
            continue
        if not find_unit(text, raw):
            continue
        places = find_all(text, target)
        if places and not all(_inside(place, spans) for place in places):
            kept[text.lower()] = Unit("keep", text)
    return (*kept.values(), *added, *gone)


def _inside(span: Span, others: list[Span]) -> bool:
    return any(other.first <= span.first and span.end <= other.end for other in others)


@lru_cache(maxsize=1_024)
def _phrases_to_keep(raw: str) -> tuple[str, ...]:
    """Phrases of content, then of style, as short as a unit should be."""
    reading = read(raw)
    phrases = [
        phrase for phrase in reading.parsed.phrases
        if len(phrase.text.split()) <= MAX_UNIT_WORDS and not re.search(r"[<>{}|\\]", phrase.text)
    ]  # fmt: skip
    things = [phrase for phrase in phrases if phrase.kind not in ("medium", "style")]
    looks = [phrase for phrase in phrases if phrase.kind in ("medium", "style")]
    return tuple(re.sub(r"\s+", " ", phrase.text) for phrase in (*things, *looks))


def intent_of(target: str, looks: Collection[str] = ()) -> str:
    """A style-free sentence for the wanted picture: its content, without media, tags and syntax.

    `looks` are tags that were added for their looks, whatever they sound like.
    """
    reading = read(target)
    parts = [_plain(segment.text) for segment in reading.content() if segment.text not in looks]
    parts = [part for part in parts if re.search(r"\w", part)]
    if not parts:
        parts = [_plain(target)]
    parts[0] = _MEDIUM_START.sub("", parts[0]) or parts[0]
    words = ", ".join(parts).split()
    text = " ".join(words[:40]).strip(" ,.;:")
    return capital(text) + "." if text else "A picture."


def _plain(text: str) -> str:
    text = re.sub(r"<[^<>]*>|--\w+(?:[ =]\S+)?|\bBREAK\b", " ", text)
    text = re.sub(r":\s*-?\d*\.?\d+\s*(?=\))", "", text)
    return re.sub(r"\s+", " ", re.sub(r"[()\[\]{}]", "", text)).strip()


@lru_cache(maxsize=64)
def syntax_of(prompt: str) -> Counter[str]:
    """Everything an edit must carry over letter by letter, with how often."""
    return Counter(protected_syntax(prompt))


@lru_cache(maxsize=256)
def estimated_tokens(text: str) -> int:
    """About how many tokens a CLIP text encoder takes, two special ones included; errs upwards."""
    count = 2
    for word in re.findall(r"[A-Za-z]+|\d|[^\sA-Za-z\d]", text):
        count += 1 if len(word) <= 9 else -(-len(word) // 6)
    return count


NEEDS = {
    EditKind.ADD: ("add",), EditKind.REMOVE: ("remove",), EditKind.REPLACE: ("add",),
    EditKind.ATTRIBUTE: ("add",), EditKind.STYLE: ("add",), EditKind.LIGHTING: ("add",),
    EditKind.COMPOSITION: ("add",),
}  # fmt: skip


def flaw_of(raw: str, draft: Draft, units: tuple[Unit, ...], budget: int) -> str | None:
    """Why the draft cannot be proposed, or None."""
    if draft.target.strip() == raw.strip():
        return "nothing changed"
    lost = syntax_of(raw) - syntax_of(draft.target)
    if any(not any(piece.strip(QUOTES) in gone for gone in draft.removes) for piece in lost):
        return "syntax lost"
    if not re.search(r"\w", draft.target):
        return "nothing left"
    roles = {unit.role for unit in units}
    if any(role not in roles for role in NEEDS.get(draft.kind, ())):
        return "the units do not show the edit"
    if any(not find_unit(text, draft.target) for text in draft.adds):
        return "an addition did not arrive"
    if estimated_tokens(draft.target) > max(budget, estimated_tokens(raw)):
        return "too long"
    return None
