"""Units by rule, where no teacher wrote them: for chat, for imports and for foreign cases.

With a target the units are what differs between the two prompts, as far as the instruction names
it; without one the instruction is read (`asking`) and applied to the phrases of the raw prompt.
Measured on 200 hand-labelled cases: `python -m models.integrity --measure FILE`.  Leaves out
actions ("riding") and whereabouts in the frame ("on the left").
"""

import re
from functools import lru_cache

from models.integrity.asking import Wish, wishes_of
from models.integrity.lexicon import word_sets
from models.integrity.phrases import MEDIA, noun_class, parse
from models.integrity.score import Span, find_all, find_unit
from models.integrity.words import analyse, lemma_of
from schemas.units import Unit

_SEPARATOR = re.compile(r"[,;|\n]+|\.(?=\s|$)")
_ONE = re.compile(r"^(?:one|1|(?:a )?single)\s+(?=\w)", re.IGNORECASE)
_GENERIC = frozenset({"view", "background", "foreground", "front", "distance", "side", "left",
                      "right", "middle", "center", "corner", "top", "bottom", "scene", "image",
                      "picture", "that", "it", "inside", "outside", "one", "frame"})  # fmt: skip
_ALIKE = (  # looks of which a thing has one at a time
    frozenset("young old elderly ancient new modern medieval futuristic".split()),  # noqa: SIM905
    frozenset("big small large little huge tiny giant bigger smaller tall short".split()),  # noqa: SIM905
    frozenset("empty busy full crowded".split()),  # noqa: SIM905
    frozenset("sunny cloudy rainy snowy foggy dark bright icy".split()),  # noqa: SIM905
)
_POSITIVE = {"bigger": "big", "smaller": "small", "larger": "large", "younger": "young",
             "older": "old", "darker": "dark", "brighter": "bright", "taller": "tall"}  # fmt: skip


@lru_cache(maxsize=2_048)
def unit_texts(prompt: str) -> tuple[str, ...]:
    """The phrases of a prompt that can be units: noun phrases, whole short tags, quoted text."""
    parsed, sets = parse(prompt), word_sets()
    found: list[tuple[int, str]] = []
    taken: list[tuple[int, int]] = []
    for match in re.finditer(r"[\"“]([^\"“”]{1,60})[\"”]", prompt):
        found.append((match.start(1), match.group(1)))
        taken.append(match.span())
    start = 0
    for match in [*_SEPARATOR.finditer(prompt), None]:
        end = match.start() if match else len(prompt)
        words = [t for t in parsed.tokens if start <= t.start < end and t.tag != "SYNTAX"]
        plain = all(t.tag in ("NOUN", "ADJ", "ADV", "NUM") or t.lower in sets.adjectives
                    for t in words)  # fmt: skip
        inner = [p for p in parsed.phrases if start <= p.start < end]
        if words and plain and len(words) <= 4 and len(inner) < 2:
            span = (words[0].start, words[-1].end)
            found.append((span[0], prompt[span[0] : span[1]]))
            taken.append(span)
        start = match.end() if match else end
    for phrase in parsed.phrases:
        inside = any(a <= phrase.start < b or a < phrase.end <= b for a, b in taken)
        if not inside and phrase.text.lower() not in _GENERIC:
            found.append((phrase.start, phrase.text))
    texts = (_ONE.sub("", re.sub(r"\s+", " ", text.strip(" .'\""))) for _, text in sorted(found))
    return tuple(dict.fromkeys(text.lower() for text in texts if re.search(r"\w", text)))


def extract_units(
    raw_prompt: str, instruction: str, target_prompt: str | None = None
) -> tuple[Unit, ...]:
    """Typed units of an edit, in the order keep, add, remove; pure, never raises on any text.

    Units of a prompt that negates them ("a kitchen without people") are no units of it.
    """
    if target_prompt is not None:
        keep, add, remove = _from_target(raw_prompt, instruction, target_prompt)
    else:
        keep, add, remove = _from_instruction(raw_prompt, wishes_of(instruction))
    units = [
        Unit(role, text)  # type: ignore[arg-type]
        for role, texts in (("keep", keep), ("add", add), ("remove", remove))
        for text in dict.fromkeys(texts)
    ]
    return tuple(units)


Roles = tuple[list[str], list[str], list[str]]


def _affirmed(prompt: str) -> list[str]:
    return [text for text in unit_texts(prompt) if find_unit(text, prompt)]


def _lemmas(text: str) -> tuple[str, ...]:
    small = word_sets().small
    return tuple(word.lemma for word in analyse(text).words if word.text not in small)


def _from_target(raw: str, instruction: str, target: str) -> Roles:
    before, after = _affirmed(raw), _affirmed(target)
    new = [text for text in after if not find_unit(text, raw)]
    spans = [span for text in new for span in find_all(text, target)]
    said = {_lemmas(text) for text in after}
    keep, remove = [], []
    for text in before:
        places = find_all(text, target)
        if _lemmas(text) in said or any(not _within(place, spans) for place in places):
            keep.append(text)
        elif not places:
            remove.append(text)
    if any(wish.verb == "nothing" for wish in wishes_of(instruction)):
        return keep, [], remove
    asked = {word.lemma for word in analyse(instruction).words} - word_sets().small
    named = [text for text in new if any(lemma in asked for lemma in _lemmas(text))]
    return keep, named or new, remove


def _within(span: Span, others: list[Span]) -> bool:
    return any(other.first <= span.first and span.end <= other.end for other in others)


def _from_instruction(raw: str, wishes: list[Wish]) -> Roles:
    keep, add, remove = _affirmed(raw), [], []
    for wish in wishes:
        old, new = _apply(wish, keep)
        for text in old:
            if text in keep:
                keep.remove(text)
            longer = any(set(_lemmas(text)) <= set(_lemmas(other)) for other in new)
            if not longer:
                remove.append(text)
        add += [text for text in new if text not in keep]
    return keep, add, remove


def _apply(wish: Wish, keep: list[str]) -> tuple[list[str], list[str]]:
    """The phrases that go and the phrases that come."""
    new = list(unit_texts(_bare(wish.new))) if wish.new else []
    match wish.verb:
        case "remove":
            return [text for what in _parts(wish.what) if (text := _meant(what, keep))], []
        case "only":
            stays = {text for what in _parts(wish.what) if (text := _meant(what, keep))}
            things = [t for t in keep if t not in stays and _kind(t) in ("thing", "name")]
            return (things if stays else []), []
        case "replace":
            return _replace(wish, new, keep)
        case "describe":
            return _describe(wish, new, keep)
        case "place" | "time":
            return _move(wish.verb, wish, new, keep)
        case "style":
            old = [text for text in keep if _is_style(text)]
            media = [text for text in old if text.split()[-1] in MEDIA]
            return (media or old)[:1], [_bare(wish.new)]
        case "add":
            return _add(new, keep)
        case _:
            return [], []


def _bare(text: str) -> str:
    return re.sub(r"^(?:the|an?|some|more|to|in|on|at|of|like|into)\s+", "", text.strip())


def _parts(what: str) -> list[str]:
    return [part for part in re.split(r"\s*(?:,|\band\b|\bor\b)\s*", what) if part] or [what]


def _meant(what: str, keep: list[str]) -> str | None:
    """The phrase of the prompt that an instruction refers to by `what`."""
    wanted = set(_lemmas(_bare(what)))
    if not wanted:
        return None
    best, most = None, 0.0
    for text in keep:
        lemmas = _lemmas(text)
        common = wanted & set(lemmas)
        if not common:
            continue
        head = lemmas[-1] in wanted or (lemmas and _lemmas(_bare(what))[-1] in lemmas)
        score = len(common) / len(wanted) + (1 if head else 0) + len(common) / len(lemmas) / 10
        if score > most and (head or common == wanted):
            best, most = text, score
    return best


def _subject(keep: list[str]) -> str | None:
    for text in keep:
        if _kind(text) in ("thing", "name"):
            return text
    return None


def _kind(text: str) -> str:
    phrases = parse(text).phrases
    return phrases[-1].kind if phrases else "style"


def _is_style(text: str) -> bool:
    return _kind(text) in ("medium", "style") or text.endswith((" style", " art", " wash"))


def _replace(wish: Wish, new: list[str], keep: list[str]) -> tuple[list[str], list[str]]:
    what = _meant(wish.what, keep)
    if what is None and wish.what in ("it", "him", "her", "them", "this"):
        what = _subject(keep)
    if what is None:
        return [], new
    words, named = what.split(), _bare(wish.what)
    fresh = new[0] if new else _bare(wish.new)
    contained = " of " in what and " of " not in named
    if contained and lemma_of(named.split()[-1]) == lemma_of(words[-1]):
        container = what.rsplit(" of ", 1)[0]
        fresh = fresh if " of " in fresh else f"{container} of {fresh}"
        return [what], [fresh, *new[1:]]
    count = words[0] if words[0] in word_sets().numbers and words[0] != "one" else ""
    if count and fresh.split()[0] not in word_sets().numbers and fresh.endswith("s"):
        fresh = f"{count} {fresh}"
    adjective = _adjective(fresh)
    if adjective and len(words) > 1:  # "cloudy instead of sunny"
        return [what], [_with_look(what, fresh)]
    return [what], [fresh, *new[1:]]


def _adjective(text: str) -> bool:
    sets = word_sets()
    return all(
        word in sets.colours or word in sets.adjectives or word in sets.materials
        for word in text.replace("-", " ").split()
    ) and not noun_class(text.split()[-1] if text else "")


def _describe(wish: Wish, new: list[str], keep: list[str]) -> tuple[list[str], list[str]]:
    look = re.sub(r"^(?:be |look |more |in |made of )", "", wish.new).strip()
    number = re.match(r"^(one|two|three|four|five|six|seven|eight|nine|ten|\d+)\s+(.+)$", look)
    pronoun = wish.what in ("", "it", "him", "her", "them", "he", "she", "they", "this")
    if number or (pronoun and not _adjective(look)):
        fresh = new[0] if new else look
        what = _meant(fresh, keep)
        if what and lemma_of(what.split()[-1]) != lemma_of(fresh.split()[-1]):
            what = None
        return ([what] if what else []), new or [look]
    what = _subject(keep) if pronoun else _meant(wish.what, keep)
    if what is None:
        return [], new or [look]
    return [what], [_with_look(what, look)]


def _with_look(what: str, look: str) -> str:
    """The phrase in its new look: a colour, a material or a look of the same sort gives way."""
    sets = word_sets()
    look = _POSITIVE.get(look, look)
    last = look.split()[-1]
    sort = next((group for group in (*_ALIKE, sets.colours, sets.materials) if last in group), None)
    words = what.split()
    if sort:
        kept = [word for i, word in enumerate(words) if word not in sort or i == len(words) - 1]
        words = kept
    if " of " in what and words[0] not in ("pair", "trio"):
        at = len(words) - 1
    else:
        at = 0
        colour = last in sets.colours or last in sets.materials
        while at < len(words) - 1 and (
            words[at] in sets.numbers or words[at] == "of"
            or (colour and words[at] in sets.adjectives and words[at] not in sets.noun_modifiers)
        ):  # fmt: skip
            at += 1
    return " ".join([*words[:at], look, *words[at:]])


def _move(
    verb: str, wish: Wish, new: list[str], keep: list[str]
) -> tuple[list[str], list[str]]:  # fmt: skip
    fresh = new or [_bare(wish.new)]
    kind = "time" if verb == "time" or _kind(fresh[0]) == "time" else _kind(fresh[0])
    if kind == "weather":
        return [text for text in keep if _kind(text) == "weather"], fresh
    if kind != "time":
        kind = "place"
    old = [text for text in keep if _kind(text) == kind]
    return old[-1:], fresh


def _add(new: list[str], keep: list[str]) -> tuple[list[str], list[str]]:
    """What is added; "blue eyes" take the place of "red eyes"."""
    old = []
    for text in new:
        lemmas = _lemmas(text)
        for have in keep:
            theirs = _lemmas(have)
            if lemmas and theirs and lemmas[-1] == theirs[-1] and len(lemmas) > 1:
                old.append(have)
    return old[:1], new
