"""Edits of content that exchange or describe something: replace and attribute.

As in `content.py`, a function returns a draft or None and edits the prompt in place.
"""

import re

from models.integrity import find_unit
from models.integrity.lexicon import word_sets
from models.integrity.phrases import Phrase, noun_class
from models.integrity.words import lemma_of
from models.teacher.offline.draft import Draft
from models.teacher.offline.english import a, fix_article, plural
from models.teacher.offline.naming import (
    PARTS,
    ends_clause,
    is_name,
    is_plural,
    next_token,
    put,
    said,
    stands_alone,
    subject,
    the,
)
from models.teacher.offline.pools import Pools, bare
from models.teacher.offline.reading import Reading
from schemas.units import EditKind

_KEEP_OUT = frozenset(
    {"says", "saying", "titled", "called", "named", "from", "as", "like", "style", "about", "vs",
     "by", "to", "written", "text", "word", "words", "letters", "made", "based", "inspired", "of"}
)  # fmt: skip
_AT_PLACES = frozenset({"in", "on", "at", "inside", "by", "above", "over", "near", "through"})
_MADE_OF = ("glass", "marble", "gold", "ice", "paper", "stone", "crystal", "flowers", "wood")
# Verbs whose object may be exchanged for anything of its class; nobody waters a globe.
_SUITS_ANYTHING = frozenset(
    {"holding", "holds", "wearing", "wears", "carrying", "watching", "eating", "eats", "showing",
     "depicting", "featuring", "painting", "drawing", "facing"}
)  # fmt: skip
_SIZES = frozenset({"giant", "tiny", "huge", "big", "large", "small", "massive", "little", "mini",
                    "enormous", "miniature", "colossal", "gigantic", "old", "young"})  # fmt: skip
_REPLACED = {"animals": "animals", "people": "people", "vehicles": "vehicles", "clothes": "clothes",
             "things": "things", "food": "food", "buildings": "buildings"}  # fmt: skip


def replace_thing(reading: Reading, pools: Pools) -> Draft | None:
    """Another thing of the same class in the same place of the sentence."""
    candidates = [p for p in reading.phrases() if _replaceable(p, reading)]
    if not candidates:
        return None
    phrase = pools.generator.choice(candidates[:4])
    head = reading.parsed.tokens[phrase.head]
    many = is_plural(phrase, reading)
    group = _REPLACED.get(noun_class(head.lower), "")
    if not group and phrase is subject(reading):
        group = pools.choice(("animals", "people", "vehicles"))
    name = group or "things"
    new = pools.another(name, lemma_of(head.lower))
    if many:
        new = plural(new.split(" of ")[0]) if " of " in new else plural(new)
    if find_unit(new, reading.text):
        return None
    number = _number(phrase, reading) if many else ""
    text = f"{number} {new}".strip()
    article = (
        phrase.article if phrase.article in ("the", "his", "her", "their", "its", "my") else ""
    )
    if not article and not many and (phrase.article or is_name(phrase, reading)):
        article = a(text).split()[0]
    if phrase.article in ("this", "that", "every", "each", "another"):
        article = phrase.article
    full = f"{article} {text}".strip()
    if phrase.start == 0 and reading.text[:1].isupper():
        full = full[:1].upper() + full[1:]
    target = put(reading.text, phrase.start, phrase.end, full)
    fields = {"the": the(phrase, reading, pools), "new": text if many else a(text), "bare": text}
    return Draft(EditKind.REPLACE, target, "replace", fields, (text,), (said(phrase, reading),),
                 touches=f"at:{phrase.first}")  # fmt: skip


def _number(phrase: Phrase, reading: Reading) -> str:
    tokens = reading.parsed.tokens
    first = tokens[phrase.first]
    return first.lower if first.tag == "NUM" else ""


def _replaceable(phrase: Phrase, reading: Reading) -> bool:
    tokens = reading.parsed.tokens
    head = tokens[phrase.head].lower
    if phrase.kind not in ("thing", "name") or head in PARTS:
        return False
    if phrase.preposition in _KEEP_OUT and not _of_a_picture(phrase, reading):
        return False
    known = noun_class(head) in _REPLACED
    if not known and phrase is not subject(reading):
        return False
    if len(phrase.text.split()) > 6 or not stands_alone(phrase, reading) or " year" in phrase.text:
        return False
    before = tokens[phrase.first - 1 - len(phrase.article.split())] if phrase.start else None
    if before is not None and before.tag == "VERB" and before.lower not in _SUITS_ANYTHING:
        return False
    acts = next_token(phrase, reading)
    lifeless = noun_class(head) in ("buildings", "things", "food", "clothes")
    if acts is not None and acts.tag == "VERB" and lifeless:
        return False
    before = tokens[phrase.first - 1].lower if phrase.first else ""
    following = next_token(phrase, reading)
    if following is not None and following.lower in ("of", "made"):
        return False
    # What a cat has or does, a dog can have or do too; of other things nobody knows.
    lives = noun_class(head) in ("people", "animals")
    if following is not None and following.lower in ("that", "who", "which", "with") and not lives:
        return False
    return before not in ("style", "of") or _of_a_picture(phrase, reading)


def _of_a_picture(phrase: Phrase, reading: Reading) -> bool:
    """ "A photo of a cat": the cat may be replaced; "a glass of wine" is one thing."""
    index = phrase.first - 2 - len(phrase.article.split())
    return any(p.kind == "medium" and p.last == index for p in reading.parsed.phrases)


def replace_place(reading: Reading, pools: Pools) -> Draft | None:
    """Another place, where one is said with "in", "on" or "at"."""
    tokens = reading.parsed.tokens
    candidates = [
        p for p in reading.phrases()
        if p.kind == "place" and p.preposition in _AT_PLACES
        and (next_token(p, reading) is None or ends_clause(p, reading))
    ]  # fmt: skip
    bare_ones = [
        p for p in reading.phrases()
        if p.kind == "place" and any(s.start == p.start and s.end == p.end
                                     for s in reading.content())
    ]  # fmt: skip
    if not candidates and not bare_ones:
        return None
    phrase = pools.generator.choice(candidates or bare_ones)
    where = pools.where("places")
    new = bare(where)
    if find_unit(new, reading.text) or lemma_of(new.split()[-1]) == lemma_of(
        tokens[phrase.head].lower
    ):
        return None
    if candidates:
        start = tokens[phrase.first - 1 - len(phrase.article.split())].start
        target = reading.text[:start] + where + reading.text[phrase.end :]
    else:
        text = where.split(" ", 1)[1] if phrase.article and " " in where else new
        if phrase.start == 0 and reading.text[:1].isupper():
            text = text[:1].upper() + text[1:]
        target = reading.text[: phrase.start] + text + reading.text[phrase.end :]
    fields = {"where": where, "bare": where.split(" ", 1)[1] if " " in where else where}
    if fields["bare"].startswith("water"):
        del fields["bare"]
    old = said(phrase, reading)
    return Draft(EditKind.REPLACE, target, "replace_place", fields, (new,), (old,), "place")


def replace_material(reading: Reading, pools: Pools) -> Draft | None:
    """Another material, where something is "made of" one."""
    tokens = reading.parsed.tokens
    found = [
        p for p in reading.phrases()
        if p.preposition == "of" and not p.article and p.first > 2 and ends_clause(p, reading)
        and "made" in (tokens[p.first - 2].lower, tokens[p.first - 3].lower)
    ]  # fmt: skip
    if not found:
        return None
    phrase, new = found[0], pools.choice(_MADE_OF)
    if find_unit(new, reading.text):
        return None
    target = put(reading.text, phrase.start, phrase.end, new)
    old = said(phrase, reading)
    fields = {"the": f"the {old}", "new": new, "bare": new}
    return Draft(EditKind.REPLACE, target, "replace_material", fields, (new,), (old,),
                 touches=f"at:{phrase.first}")  # fmt: skip


def attribute(reading: Reading, pools: Pools) -> Draft | None:
    """A colour, a size, a material or a mood for one of the things in the picture."""
    candidates = [p for p in reading.phrases() if _describable(p, reading)]
    if "colours" in pools.hinted:  # a model that knows colours knows no "ancient sea"
        candidates = [phrase for phrase in candidates if phrase.kind != "place"]
    if not candidates:
        return None
    phrase = pools.generator.choice(candidates[:4])
    head = reading.parsed.tokens[phrase.head].lower
    group = noun_class(head)
    colour = False
    if group == "people" or is_name(phrase, reading):
        look = pools.pick("person_looks")
        if group != "people":
            look = pools.choice(("giant", "tiny", "old", "young"))
    elif phrase.kind == "place":
        look = pools.pick("place_looks")
    elif (
        group in ("clothes", "vehicles", "things", "animals", "buildings")
        or "colours" in pools.hinted
    ):
        colour = pools.chance(0.75) or "colours" in pools.hinted
        name = "colours" if colour else "creature_looks" if group == "animals" else "thing_looks"
        look = pools.pick(name)
    else:
        # What it is nobody knows: only looks that anything can have.
        look = pools.choice(("huge", "tiny", "colorful", "strange", "beautiful", "spectacular"))
    return _describe(reading, pools, phrase, look, colour=colour)


def _describable(phrase: Phrase, reading: Reading) -> bool:
    tokens = reading.parsed.tokens
    head = tokens[phrase.head].lower
    if phrase.kind not in ("thing", "name", "place") or head in PARTS or len(phrase.text) > 40:
        return False
    if not stands_alone(phrase, reading):
        return False
    if phrase.kind == "place" and head in ("space", "background", "world", "universe", "earth"):
        return False
    if phrase.preposition in _KEEP_OUT and not _of_a_picture(phrase, reading):
        return False
    known = noun_class(head) or phrase.article or is_plural(phrase, reading)
    return bool(known) or phrase is subject(reading)


def _describe(
    reading: Reading, pools: Pools, phrase: Phrase, look: str, *, colour: bool
) -> Draft | None:
    tokens, sets = reading.parsed.tokens, word_sets()
    words = tokens[phrase.first : phrase.head + 1]
    if any(token.lower == look for token in words) or find_unit(look, phrase.text):
        return None
    if look in _SIZES and any(token.lower in _SIZES for token in words):
        return None
    old_colours = [token for token in words[:-1] if token.lower in sets.colours]
    if colour and old_colours:
        first, last = old_colours[0], old_colours[-1]
        if tokens.index(last) - tokens.index(first) > 2:
            return None
        start, end, new = first.start, last.end, look
    else:
        # A colour goes right before the noun and its material, other looks before everything.
        at = phrase.first
        if colour:
            while at < phrase.head and tokens[at].tag != "NOUN" and (
                tokens[at].lower not in sets.materials):  # fmt: skip
                at += 1
        else:
            while at < phrase.head and tokens[at].tag == "NUM":
                at += 1
        start = end = tokens[at].start
        new = f"{look} "
    text = reading.text
    at_start = start == 0 and text[:1].isupper()
    rest = text[end:]
    if at_start:
        new = new[:1].upper() + new[1:]
        if not is_name(phrase, reading):
            rest = rest[:1].lower() + rest[1:]
    target = fix_article(text[:start] + new + rest, start)
    phrase_end = tokens[phrase.last].end
    unit = (text[tokens[phrase.first].start : start] + new + text[end:phrase_end]).strip()
    unit = re.sub(r"\s+", " ", unit)
    if not is_name(phrase, reading) and unit[1:] == unit[1:].lower():
        unit = unit[:1].lower() + unit[1:]
    many = is_plural(phrase, reading)
    templates = "colour" if colour else "attribute_plural" if many else "attribute"
    fields = {"the": the(phrase, reading, pools), "look": look}
    return Draft(EditKind.ATTRIBUTE, target, templates, fields, (unit,), (said(phrase, reading),),
                 touches=f"at:{phrase.first}")  # fmt: skip


def count(reading: Reading, pools: Pools) -> Draft | None:
    """Two or three instead of one, in prompts plain enough for nothing else to have to agree."""
    content = reading.content()
    phrase = subject(reading)
    if phrase is None or is_plural(phrase, reading) or is_name(phrase, reading) or not content:
        return None
    tokens = reading.parsed.tokens
    group = noun_class(tokens[phrase.head].lower)
    if group not in ("animals", "vehicles", "things") or phrase.last != phrase.head:
        return None
    if phrase.article not in ("a", "an") or any(
        token.tag in ("VERB", "AUX", "PRON") for token in tokens[phrase.head :]
    ):
        return None
    number = pools.choice(("two", "three"))
    first = phrase.first
    text = f"{number} {plural(reading.text[tokens[first].start : tokens[phrase.head].end])}"
    full = text.capitalize() if phrase.start == 0 and reading.text[:1].isupper() else text
    target = reading.text[: phrase.start] + full + reading.text[phrase.end :]
    return Draft(EditKind.ATTRIBUTE, target, "count", {"new": text}, (text,),
                 (said(phrase, reading),), touches=f"at:{phrase.first}")  # fmt: skip
