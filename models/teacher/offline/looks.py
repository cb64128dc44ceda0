"""Edits of looks: style, lighting, composition, beautify.

What is added is drawn blind to the scene.  A medium, a time of day or a tag that says the opposite
is replaced rather than contradicted.  Leaves out content (`content.py`).
"""

import re

from models.integrity import find_unit
from models.integrity.phrases import MEDIA, Phrase
from models.teacher.offline.draft import Draft
from models.teacher.offline.english import a
from models.teacher.offline.naming import put, said, the, uses_articles
from models.teacher.offline.pools import Pools, bare, own_lists
from models.teacher.offline.reading import Reading, Segment
from schemas.units import EditKind

_UNCOUNTED = re.compile(
    r"(?:style|art|glass|graphic|glow|detail|outlines|colors|colours|tones|shadows|light|lighting|"
    r"moonlight|focus|claymation|embroidery|space|lines|foliage|composition|field|thirds|clouds|sky|"
    r"shading|bokeh|candlelight|sun)$"
)
_VIEWS = re.compile(
    r"\b(close[- ]?up|wide[- ]?(?:angle|shot)|full[- ]body(?: shot)?|aerial view|"
    r"bird'?s[- ]eye view|low[- ]angle|high[- ]angle|macro(?: shot)?|centered|symmetrical|"
    r"headshot|wideangle|long shot|medium shot|side view|front view|top[- ]down|"
    r"panoramic(?: view)?)\b",
    re.IGNORECASE,
)
_LIGHT_WORDS = re.compile(r"\b(?:lighting|light|lights|lit|backlight|backlit|illumination)\b", re.I)
_ONLY_MEDIUM = re.compile(
    r"^(?:(?:oil|acrylic|watercolou?r|digital|pencil|charcoal|pastel|matte|concept|vector|3d|pixel|"
    r"pop|comic|cartoon|anime|ink|gouache|raw|old|vintage|professional|realistic|black|white|and)\s+)*"
    r"(?:photo(?:graph)?(?:graphy)?|painting|drawing|sketch|illustration|render(?:ing)?|art|"
    r"watercolou?r|anime|cartoon|vector|artwork)$",
    re.IGNORECASE,
)


def tagged(reading: Reading, tag: str, at: int | None = None) -> str:
    """The prompt with a tag behind its last words, before flags and closing full stops."""
    end = reading.tail_end() if at is None else at
    text = reading.text
    if not text[:end].strip():
        return f"{tag} {text}".strip() if text.strip() else tag
    return f"{text[:end]}, {tag}{text[end:]}"


def _lead_medium(reading: Reading) -> Phrase | None:
    """ "A photo" of "a photo of a cat": plain enough to be exchanged."""
    tokens = reading.parsed.tokens
    for phrase in reading.phrases()[:1]:
        following = tokens[phrase.last + 1] if phrase.last + 1 < len(tokens) else None
        plain = _ONLY_MEDIUM.match(phrase.text.strip())
        if phrase.kind == "medium" and plain and following and following.lower == "of":
            return phrase
    return None


def _medium_tag(reading: Reading) -> Segment | None:
    """A tag that is nothing but a medium ("digital art")."""
    for segment in reading.segments[1:]:
        if segment.kind != "syntax" and _ONLY_MEDIUM.match(segment.text.strip()) \
                and reading.free(segment.start, segment.end):  # fmt: skip
            return segment
    return None


def style(reading: Reading, pools: Pools) -> Draft | None:
    """Another medium or style: in place of one that is said, else as a tag."""
    new = pools.pick("styles")
    if find_unit(new, reading.text):
        return None
    hinted = "styles" in pools.hinted
    phrase, tag = _lead_medium(reading), _medium_tag(reading)
    said_inside = (
        any(p.kind == "medium" for p in reading.phrases()) and phrase is None and tag is None
    )
    if said_inside and not hinted and not new.endswith((" style", " art")):
        return None  # "… oil painting seamless, vintage photograph" says two things
    head = new.split()[-1]
    medium = head in MEDIA and not hinted and not new.endswith((" art", " style"))
    if medium and phrase is not None:
        full = a(new) if phrase.article in ("a", "an") else f"{phrase.article} {new}".strip()
        if phrase.start == 0 and reading.text[:1].isupper():
            full = full[:1].upper() + full[1:]
        target = put(reading.text, phrase.start, phrase.end, full)
        old = said(phrase, reading)
        fields = {"new": a(new), "bare": new, "the": the(phrase, reading, pools), "the_a": a(old)}
        return Draft(EditKind.STYLE, target, "swap_medium", fields, (new,), (old,), "style")
    if tag is not None and not hinted:
        target = put(reading.text, tag.start, tag.end, new)
        old = tag.text.strip()
        return Draft(
            EditKind.STYLE, target, *_style_words(new, hinted=False), (new,), (old,), "style"
        )
    target = tagged(reading, new)
    return Draft(EditKind.STYLE, target, *_style_words(new, hinted=hinted), (new,), (), "style")


def _style_words(new: str, *, hinted: bool) -> tuple[str, dict[str, str]]:
    if hinted:
        return "style_tag", {"bare": new}
    if new.endswith(("style", "art", "claymation", "embroidery", "glass")):
        look = new.removesuffix(" style")
        return "style_adjective", {"bare": new, "bare_look": look}
    return "style", {"new": a(new), "bare": new}


def lighting(reading: Reading, pools: Pools) -> Draft | None:
    """Another time of day where one is said, another light where a tag names one, or a new one."""
    times = [p for p in reading.phrases() if p.kind == "time" and len(p.text.split()) <= 3]
    if times and pools.chance(0.75):
        return _other_time(reading, pools, times[0])
    if pools.chance(0.2) and not times:
        return _new_time(reading, pools)
    new = pools.pick("lights")
    if find_unit(new, reading.text):
        return None
    fields = {"bare": new}
    for segment in reading.segments[1:]:
        plain = _LIGHT_WORDS.search(segment.text) and len(segment.text.split()) <= 3
        if plain and segment.kind == "tag" and reading.free(segment.start, segment.end):
            target = put(reading.text, segment.start, segment.end, new)
            old = (segment.text.strip(),)
            return Draft(EditKind.LIGHTING, target, "lighting", fields, (new,), old, "light")
    return Draft(EditKind.LIGHTING, tagged(reading, new), "lighting", fields, (new,), (), "light")


def _other_time(reading: Reading, pools: Pools, phrase: Phrase) -> Draft | None:
    where = pools.where("times")
    new = bare(where)
    if find_unit(new, reading.text):
        return None
    tokens, text = reading.parsed.tokens, reading.text
    fields = {"where": where, "bare": new}
    index = phrase.first - 1 - len(phrase.article.split())
    if phrase.preposition in ("at", "in", "by", "during", "on") and index >= 0:
        target = text[: tokens[index].start] + where + text[phrase.end :]
    elif any(s.start == phrase.start and s.end == phrase.end for s in reading.segments):
        target = text[: phrase.start] + new + text[phrase.end :]
    else:
        return None
    return Draft(
        EditKind.LIGHTING, target, "time", fields, (new,), (said(phrase, reading),), "light"
    )


def _new_time(reading: Reading, pools: Pools) -> Draft | None:
    content = reading.content()
    where = pools.where("times")
    if not content or find_unit(bare(where), reading.text):
        return None
    segment = content[0]
    # "a cat, meadow" lists; a sentence takes the phrase with its preposition.
    if len(segment.text.split()) >= 3 and uses_articles(reading) and len(content) == 1:
        target = f"{reading.text[: segment.end]} {where}{reading.text[segment.end :]}"
    else:
        target = tagged(
            reading, where if uses_articles(reading) else bare(where), reading.body_end()
        )
    fields = {"where": where, "bare": bare(where)}
    return Draft(EditKind.LIGHTING, target, "time", fields, (bare(where),), (), "light")


def composition(reading: Reading, pools: Pools) -> Draft | None:
    """Another framing: in place of a tag that says one, else behind the content."""
    new = pools.pick("compositions")
    if find_unit(new, reading.text):
        return None
    seen = new.startswith("seen")
    fields = {"bare": new, "new": new if seen or _UNCOUNTED.search(new) else a(new)}
    templates = "composition_seen" if seen else "composition"
    if new.startswith("lots"):
        fields["new"] = new
    if new == "symmetrical composition" or new == "centered composition":
        fields["new"] = a(new)
    for segment in reading.segments[1:]:
        if segment.kind != "syntax" and _VIEWS.fullmatch(segment.text.strip()) \
                and reading.free(segment.start, segment.end):  # fmt: skip
            target = put(reading.text, segment.start, segment.end, new)
            old = (segment.text.strip(),)
            return Draft(EditKind.COMPOSITION, target, templates, fields, (new,), old, "view")
    target = tagged(reading, new, None if "compositions" in pools.hinted else reading.body_end())
    return Draft(EditKind.COMPOSITION, target, templates, fields, (new,), (), "view")


def beautify(reading: Reading, pools: Pools) -> Draft | None:
    """Two to four words of finish; flaws go."""
    free = [word for word in pools.list("finishes") if not find_unit(word, reading.text)]
    number = min(len(free), pools.generator.choice((2, 3, 3, 4)))
    if not number:
        return None
    chosen = pools.generator.sample(free, number)
    flaws = {*own_lists()["flaws"], *pools.list("flaws")}
    text, gone = reading.text, []
    for index in range(len(reading.segments) - 1, 0, -1):
        segment = reading.segments[index]
        if segment.text.strip().lower() in flaws and reading.free(segment.start, segment.end):
            text = text[: reading.segments[index - 1].end] + text[segment.end :]
            gone.append(segment.text.strip())
    end = reading.tail_end() - (len(reading.text) - len(text))
    tail = reading.text[reading.tail_end() :]
    body = text[: len(text) - len(tail)] if tail else text
    target = f"{body.rstrip(' ,')}, {', '.join(chosen)}{tail}" if end > 0 else ", ".join(chosen)
    return Draft(EditKind.BEAUTIFY, target, "beautify", {}, (), tuple(gone), "finish")


def shorter_beautify(reading: Reading, pools: Pools) -> Draft | None:
    """For a prompt near its budget: one word of finish in place of its last tag."""
    tags = [s for s in reading.segments[1:] if s.kind == "tag" and reading.free(s.start, s.end)]
    free = [word for word in pools.list("finishes") if not find_unit(word, reading.text)]
    if not tags or not free:
        return None
    new = pools.choice(free)
    target = put(reading.text, tags[-1].start, tags[-1].end, new)
    return Draft(EditKind.BEAUTIFY, target, "beautify", {}, (), (), "finish")
