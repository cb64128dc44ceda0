"""Edits of content that add or remove something.

Each function takes a reading and pools and returns a draft, or None where the prompt offers no
place for it (or this draw did not).  The prompt is edited in place, never rewritten, so that all it
says besides survives.  `exchange.py` replaces and describes.
"""

import re

from models.integrity import find_unit
from models.integrity.phrases import Phrase, noun_class
from models.teacher.offline.draft import Draft
from models.teacher.offline.english import a
from models.teacher.offline.naming import (
    PARTS,
    PLACE_PREPOSITIONS,
    cut,
    ends_clause,
    is_name,
    is_plural,
    next_token,
    said,
    stands_alone,
    subject,
    the,
    uses_articles,
)
from models.teacher.offline.pools import Pools, bare
from models.teacher.offline.reading import Reading
from models.teacher.syntax import QUOTES, protected_syntax
from schemas.units import EditKind

_WHERE = ("in the background", "in the foreground", "nearby", "to one side", "in the corner",
          "in the distance", "on the left", "on the right")  # fmt: skip
_HANGS_BY = (PLACE_PREPOSITIONS - {"by"}) | {
    "above", "behind", "beside", "below", "through", "across", "towards", "toward", "along",
    "into", "against", "around", "beneath", "onto", "from",
}  # fmt: skip
# What somebody does also without the thing: these words stay.
_BY_ITSELF = frozenset(
    {"standing", "walking", "sitting", "flying", "floating", "running", "swimming", "dancing",
     "sleeping", "jumping", "lying", "smiling", "posing", "fighting", "hiding", "dreaming"}
)  # fmt: skip
_OF_THE_WHOLE = re.compile(r"\s+(?:in (?:the |an? )?(?:[\w'-]+ ){0,3}style\b|by [A-Z]|as an? )")
_SAID_OF = frozenset({"that", "which", "saying", "reading", "labeled", "titled"})
_LOOSE = frozenset({"with", "wearing", "holding", "and", "featuring", "carrying", "including"})


def add_object(reading: Reading, pools: Pools) -> Draft | None:
    """Something else in the scene: beside the subject where it stands alone, else at the end."""
    thing = pools.object()
    if find_unit(thing.split()[-1], reading.text) or find_unit(thing, reading.text):
        return None
    new = a(thing) if uses_articles(reading) else thing
    fields = {"new": a(thing), "bare": thing}
    first = subject(reading)
    content = reading.content()
    listed = len(content) >= 2 and all(len(segment.text.split()) <= 4 for segment in content[:3])
    if listed and first and not uses_articles(reading):
        end = content[0].end
        target = f"{reading.text[:end]}, {thing}{reading.text[end:]}"
        return Draft(EditKind.ADD, target, "add", fields, (thing,), touches=f"thing:{thing}")
    if first and content and first.end <= content[0].end and ends_clause(first, reading):
        join = pools.choice(("with", "with", "next to", "beside", "and"))
        if next_token(first, reading) is not None or len(content) == 1 or join != "and":
            end = first.end
            target = f"{reading.text[:end]} {join} {new}{reading.text[end:]}"
            return Draft(EditKind.ADD, target, "add", fields, (thing,), touches=f"thing:{thing}")
    where = pools.choice([w for w in _WHERE if not find_unit(w, reading.text)] or ["nearby"])
    end = reading.body_end()
    joined = pools.choice((f", with {new} {where}", f", {new} {where}"))
    target = f"{reading.text[:end]}{joined if end else joined[2:]}{reading.text[end:]}"
    templates = "add_where" if pools.chance(0.6) else "add"
    return Draft(EditKind.ADD, target, templates, fields | {"where": where}, (thing,),
                 touches=f"thing:{thing}")  # fmt: skip


def add_outfit(reading: Reading, pools: Pools) -> Draft | None:
    """Something to wear for a person or an animal who stands alone in its clause."""
    phrase = subject(reading)
    if phrase is None or is_plural(phrase, reading):
        return None
    head = reading.parsed.tokens[phrase.head].lower
    if noun_class(head) not in ("people", "animals") or not ends_clause(phrase, reading):
        return None
    outfit = pools.pick("outfits")
    if find_unit(outfit.split()[-1], reading.text):
        return None
    new = outfit if outfit.endswith("s") and not outfit.startswith("pair") else a(outfit)
    target = f"{reading.text[: phrase.end]} wearing {new}{reading.text[phrase.end :]}"
    fields = {"new": new, "bare": outfit, "the": the(phrase, reading, pools)}
    touches = f"at:{phrase.first}"
    return Draft(EditKind.ADD, target, "wear", fields, (outfit,), touches=touches)


def add_weather(reading: Reading, pools: Pools) -> Draft | None:
    """Rain, fog or snow, where a place outdoors or nothing is said about it."""
    if "weathers" not in pools.hinted and not any(p.kind == "place" for p in reading.phrases()):
        return None
    if any(p.kind == "weather" for p in reading.parsed.phrases):
        return None
    where = pools.where("weathers")
    if find_unit(bare(where), reading.text):
        return None
    content = reading.content()
    end = content[0].end if content else reading.body_end()
    text = f" {where}" if uses_articles(reading) or len(content) < 2 else f", {bare(where)}"
    target = reading.text[:end] + text + reading.text[end:]
    fields = {"where": where, "bare": bare(where)}
    return Draft(EditKind.ADD, target, "weather", fields, (bare(where),), touches="weather")


def remove_phrase(reading: Reading, pools: Pools) -> Draft | None:
    """Something that hangs on by "with", "wearing", "and" or a preposition of place."""
    candidates = []
    for phrase in reading.phrases():
        if _removable(phrase, reading):
            candidates.append(phrase)
    if not candidates:
        return None
    phrase = pools.generator.choice(candidates)
    tokens = reading.parsed.tokens
    before = tokens[phrase.first - 1 - len(phrase.article.split())]
    target = cut(reading.text, before.start, phrase.end)
    text = said(phrase, reading)
    fields = {"the": the(phrase, reading, pools), "bare": text}
    if phrase.kind in ("place", "time", "weather") and before.lower != "with":
        fields["where"] = f"{before.lower} {phrase.article} {text}".replace("  ", " ")
        templates = "remove_place"
    else:
        templates = "remove_plural" if is_plural(phrase, reading) else "remove"
    return Draft(EditKind.REMOVE, target, templates, fields, (), (text,),
                 touches=f"at:{phrase.first}")  # fmt: skip


def _removable(phrase: Phrase, reading: Reading) -> bool:
    tokens = reading.parsed.tokens
    index = phrase.first - 1 - len(phrase.article.split())
    if index < 1 or tokens[index].segment != phrase.segment:
        return False
    if not stands_alone(phrase, reading):
        return False
    before = tokens[index].lower
    following = next_token(phrase, reading)
    if before == "and":
        # "X and Y are": the verb would no longer agree; "black and white photo": no list.
        listed = tokens[index - 1].tag == "NOUN" and len(phrase.text.split()) <= 4
        if not listed or (following and following.tag in ("VERB", "AUX", "NOUN", "ADJ", "CONJ")):
            return False
        return following is None or ends_clause(phrase, reading)
    place = before in PLACE_PREPOSITIONS and phrase.kind in ("place", "time", "weather")
    if before not in _LOOSE and not place:
        return False
    if tokens[index - 1].tag in ("VERB", "AUX", "PREP", "CONJ") and not before.endswith("ing"):
        return False  # "filled with", "walking in": the verb needs it
    return following is None or (ends_clause(phrase, reading) and following.lower != before)


def remove_clause(reading: Reading, pools: Pools) -> Draft | None:
    """A thing at the end of a clause, with the words that hang it there and what is said of it.

    "A pig [riding a bike]", "eggs [on a plate]", "a nun [holding a sign that says repent]".
    """
    found = [(p, span) for p in reading.phrases() if (span := _hanging(p, reading)) is not None]
    if not found:
        return None
    phrase, (start, end) = pools.generator.choice(found)
    target = cut(reading.text, start, end)
    unit = said(phrase, reading)
    quoted = [text.strip(QUOTES) for text in protected_syntax(reading.text[phrase.end : end])]
    fields = {"the": the(phrase, reading, pools), "bare": unit}
    templates = "remove_plural" if is_plural(phrase, reading) else "remove"
    return Draft(EditKind.REMOVE, target, templates, fields, (), (unit, *quoted),
                 touches=f"at:{phrase.first}")  # fmt: skip


def _hanging(phrase: Phrase, reading: Reading) -> tuple[int, int] | None:
    """The span to cut so that a phrase at the end of its clause is gone, or None."""
    tokens = reading.parsed.tokens
    head = tokens[phrase.head].lower
    known = bool(phrase.article or noun_class(head) or is_plural(phrase, reading))
    hook = phrase.first - 1 - len(phrase.article.split())
    if phrase.kind not in ("thing", "place") or head in PARTS or not known or hook < 1:
        return None
    if phrase.article in ("that", "this"):
        return None  # "that says": no phrase at all
    if not stands_alone(phrase, reading) or tokens[hook].segment != phrase.segment:
        return None
    first = hook
    if tokens[hook].lower in _HANGS_BY:
        first -= tokens[hook - 1].lower == "from"  # "from behind a fence"
        doing = tokens[first - 1]
        if doing.lower.endswith("ing") and doing.lower not in _BY_ITSELF:
            first -= doing.tag == "VERB"
    elif not tokens[hook].lower.endswith("ing") or tokens[hook].tag == "NOUN":
        return None
    holder = tokens[first - 1] if first else None
    by_itself = holder is not None and holder.lower in _BY_ITSELF
    if holder is None or holder.segment != phrase.segment or not (
        holder.tag == "NOUN" or by_itself
    ):  # fmt: skip
        return None
    end = _end_of_clause(phrase, reading)
    return None if end is None else (tokens[first].start, end)


def _end_of_clause(phrase: Phrase, reading: Reading) -> int | None:
    """Where the phrase ends with what is said of it; None if more of the picture follows."""
    segment = next((s for s in reading.content() if s.start <= phrase.start < s.end), None)
    if segment is None:
        return None
    rest = reading.text[phrase.end : segment.end]
    if not rest.strip():
        return segment.end
    if _OF_THE_WHOLE.match(rest):
        return phrase.end
    words = [word.lower() for word in rest.split()]
    quoted = any(phrase.end <= a and b <= segment.end for a, b in reading.protected)
    if len(words) > 12 or (words[0] not in _SAID_OF and not (quoted and words[0] == "with")):
        return None
    more = any(word in ("and", "with", "in", "while") for word in words[2:])
    return None if more and not quoted else segment.end


def remove_segment(reading: Reading, pools: Pools) -> Draft | None:
    """A part between commas, content before tags of style."""
    candidates = [
        (index, segment)
        for index, segment in enumerate(reading.segments)
        if index and segment.kind != "syntax" and len(segment.text.split()) <= 5
        and reading.free(segment.start, segment.end) and not re.search(r"[()\[\]\"]", segment.text)
        and len(reading.segments) > 1
    ]  # fmt: skip
    things = [item for item in candidates if item[1].kind == "content"]
    if not candidates:
        return None
    index, segment = pools.generator.choice(things or candidates)
    start = reading.segments[index - 1].end
    target = reading.text[:start] + reading.text[segment.end :]
    text = segment.text.strip()
    phrases = [p for p in reading.parsed.phrases if segment.start <= p.start < segment.end]
    if len(phrases) == 1 and segment.kind == "content" and phrases[0].end == segment.end \
            and phrases[0].start == segment.start:  # fmt: skip
        phrase = phrases[0]
        unit = said(phrase, reading)
        templates = "remove_plural" if is_plural(phrase, reading) else "remove"
        if is_name(phrase, reading):
            templates = "remove_tag"
        fields = {"the": the(phrase, reading, pools), "bare": unit}
    else:
        unit = phrases[0].text if len(phrases) == 1 and len(text.split()) > 3 else text
        templates, fields = "remove_tag", {"bare": text}
    return Draft(EditKind.REMOVE, target, templates, fields, (), (unit,),
                 touches=f"segment:{index}")  # fmt: skip
