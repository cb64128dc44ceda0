"""Phrases of a prompt: its noun phrases and tags, with what a word list can tell about them.

A stand-in for a tagger and a chunker: closed classes and `lexicon/words.toml` give each word a tag,
runs of them give noun phrases ("a small blue car", "bottle of ketchup").  What it leaves out:
agreement, clauses, and words it has never seen (taken for nouns, which most are).

Example: `[p.text for p in phrases_of("a red car in the rain, oil painting")]` is
`["red car", "rain", "oil painting"]`.
"""

import re
from functools import lru_cache
from typing import Literal, NamedTuple

from models.integrity.lexicon import word_sets
from models.integrity.words import lemma_of

Tag = Literal["DET", "NUM", "ADJ", "ADV", "NOUN", "VERB", "PREP", "CONJ", "PRON", "AUX", "SYNTAX"]
Kind = Literal["thing", "place", "time", "weather", "medium", "style", "name"]

_TOKEN = re.compile(
    r"<[^<>\s]{1,80}:[^<>]{1,80}>|--[a-z]+(?:\s+[\d.:/]+)?|:\s*-?\d*\.?\d+(?=\s*[)\]])"
    r"|[^\W_]+(?:['’\-.][^\W_]+)*['’]?"
)
_BORDER = re.compile(r"[,.;:!?|()\[\]{}\n\r\"“”<>/•]|\s[-–—]+\s")

MEDIA = frozenset(
    """photo photograph picture image painting drawing sketch illustration render rendering
    portrait watercolor poster wallpaper artwork screenshot photography art still selfie shot
    closeup close-up view logo icon design sticker comic cartoon anime vector snapshot sculpture
    polaroid mosaic engraving concept""".split()  # noqa: SIM905
)
_OF_HEADS = frozenset(
    """bottle glass cup mug bowl plate bag box basket pile pair group bunch herd flock pack
    trio couple field slice piece bouquet set row crowd stack lot swarm pool sea wall statue
    city king queen god goddess vase caravan depth rule game lord man woman ball block cube
    jar bucket sheet drop ray rays house front top side back bottom middle edge style number
    cloud army team crew school""".split()  # noqa: SIM905
)
_TRANSITIVE = frozenset(
    """wearing holding riding eating drinking using driving carrying wielding playing reading
    watching making cooking featuring depicting showing containing including facing piloting
    overlooking surrounding replacing chasing hugging kissing fighting petting building having
    crossing casting giving shooting destroying attacking hunting covering""".split()  # noqa: SIM905
)
_NOT_ADVERBS = frozenset(
    """family fly lily butterfly jelly italy july belly bully ally assembly monopoly rally
    holly molly emily billy sally kelly firefly dragonfly fully reply supply""".split()  # noqa: SIM905
)


_PERSON = re.compile(r".(?:woman|women|[^u]man|girl|boy|ologist|artist|pianist|cyclist)$")


class Token(NamedTuple):
    text: str  # as written
    lower: str
    start: int
    end: int
    tag: Tag
    segment: int  # counts the commas, full stops and brackets before it


class Phrase(NamedTuple):
    """A noun phrase at `prompt[start:end]`, article included; `text` is without it.

    `first` and `last` are token indices (inclusive, article excluded), `head` that of the noun;
    `preposition` is the word before it ("in", "wearing", "and", or "").
    """

    text: str
    start: int
    end: int
    first: int
    head: int
    last: int
    article: str
    preposition: str
    kind: Kind
    segment: int


class Parsed(NamedTuple):
    text: str
    tokens: tuple[Token, ...]
    phrases: tuple[Phrase, ...]


@lru_cache(maxsize=512)
def parse(prompt: str) -> Parsed:
    """Tokens and noun phrases of a prompt.  Any text is fine; "" has none."""
    tokens = _tag(_tokenise(prompt))
    return Parsed(prompt, tuple(tokens), tuple(_phrases(prompt, tokens)))


def phrases_of(prompt: str) -> tuple[Phrase, ...]:
    """The noun phrases and tags of a prompt, in order."""
    return parse(prompt).phrases


@lru_cache(maxsize=32_768)
def noun_class(word: str) -> str:
    """The class of a noun in `words.toml` ("animals", "places", …), or ""."""
    lemma, lower = lemma_of(word), word.lower()
    for name, members in word_sets().classes.items():
        if lower in members or lemma in members:
            return name
    return "people" if _PERSON.search(lower) else ""


def _tokenise(prompt: str) -> list[Token]:
    tokens, segment, last = [], 0, 0
    for match in _TOKEN.finditer(prompt):
        start, end = match.span()
        between = prompt[last:start]
        if between != " " and _BORDER.search(between):
            segment += 1
        text = match.group()
        tag: Tag = "NOUN"
        if text[0] in "<:-" or text == "BREAK":
            tag = "SYNTAX"
            segment += text[0] != ":"
        tokens.append(Token(text, text.lower().replace("’", "'"), start, end, tag, segment))
        last = end
        segment += tag == "SYNTAX" and text[0] != ":"
    return tokens


def _tag(tokens: list[Token]) -> list[Token]:
    """Tags by word list, then two passes of context: participles, and adjectives used as nouns."""
    tags: list[Tag] = [token.tag if token.tag == "SYNTAX" else _by_list(token) for token in tokens]
    for index, token in enumerate(tokens):
        if token.lower == "and" and _black_and_white(tokens, index):
            tags[index] = "ADJ"
        if tags[index] == "NOUN" and _third_person(tokens, tags, index):
            tags[index] = "VERB"
        elif tags[index] == "VERB":
            tags[index] = _participle(tokens, tags, index)
    for index in range(len(tokens)):
        after = tags[index + 1] if _same(tokens, index, index + 1) else None
        before = tags[index - 1] if _same(tokens, index, index - 1) else None
        if tags[index] == "ADJ" and after not in ("ADJ", "NOUN", "NUM", "ADV"):
            lower = tokens[index].lower
            nominal = lower in word_sets().noun_modifiers or bool(noun_class(lower))
            colour = lower in word_sets().colours or lower in word_sets().materials
            # "the old", "a dramatic": a noun for want of one, except after a verb or a noun.
            if nominal or before == "DET" or (colour and before in ("ADJ", None)):
                tags[index] = "NOUN"
    return [token._replace(tag=tag) for token, tag in zip(tokens, tags, strict=True)]


def _third_person(tokens: list[Token], tags: list[Tag], index: int) -> bool:
    """ "A frog destroys Tokyo", "a path leads to it": an unknown word in -s after a known noun."""
    word = tokens[index]
    if not word.text.islower() or not word.lower.endswith("s") or word.lower.endswith("ss"):
        return False
    if not _same(tokens, index, index - 1) or not _same(tokens, index, index + 1):
        return False
    before, after = tokens[index - 1], tokens[index + 1]
    known = tags[index - 1] == "NOUN" and before.text.islower() and not before.lower.endswith("s")
    follows = tags[index + 1] == "DET" or after.text[0].isupper() or after.lower == "to"
    return known and follows and not noun_class(word.lower)


def _black_and_white(tokens: list[Token], index: int) -> bool:
    around = (tokens[index - 1].lower, *(token.lower for token in tokens[index + 1 : index + 2]))
    return index > 0 and around == ("black", "white")


def _same(tokens: list[Token], index: int, other: int) -> bool:
    return 0 <= other < len(tokens) and tokens[index].segment == tokens[other].segment


def _by_list(token: Token) -> Tag:
    return _word_tag(token.lower, token.start > 0 and token.text[0].isupper())


@lru_cache(maxsize=32_768)
def _word_tag(lower: str, capital: bool) -> Tag:
    """The tag of a word by itself; `capital`: written so, and not as the first word."""
    sets = word_sets()
    if lower in ("a", "an", "the", "this", "that", "these", "those", "my", "his", "its", "their",
                 "our", "your", "some", "any", "every", "each", "both", "no", "another", "all",
                 "several", "many", "few", "various", "multiple"):  # fmt: skip
        return "DET"
    if lower in ("pair", "trio", "couple", "group", "bunch", "dozen"):
        return "NOUN"
    if lower in sets.numbers or lower.isdigit():
        return "NUM"
    if lower in sets.verbs and lower not in sets.adjectives:
        return "VERB"
    closed: tuple[tuple[frozenset[str], Tag], ...] = (
        (sets.pronouns, "PRON"), (sets.auxiliaries, "AUX"), (sets.prepositions, "PREP"),
        (sets.conjunctions, "CONJ"), (sets.quantifiers, "DET"), (sets.adverbs, "ADV"),
    )  # fmt: skip
    for words, tag in closed:
        if lower in words:
            return tag
    if lower in ("not", "without", "n't", "no"):
        return "PREP"
    if capital and lower not in sets.modifiers:
        return "NOUN"
    if lower in sets.colours or lower in sets.adjectives or lower in sets.materials:
        # -ing and -ed words that are listed as adjectives still may be verbs ("a man running").
        return "VERB" if lower.endswith("ing") and lower in sets.verbs else "ADJ"
    if lower.endswith("ly") and len(lower) > 4 and lower not in _NOT_ADVERBS:
        return "ADV"
    if lower.endswith("'s") or lower.endswith("s'"):
        return "ADJ"
    if lower.endswith("ing") and len(lower) > 5 and lower not in sets.nouns_in_ing:
        return "VERB"
    if lower.endswith("ed") and len(lower) > 4 and lower not in sets.nouns_in_ed:
        return "VERB"
    if lower.endswith(("ous", "ful", "ish", "ive", "-style", "-like", "esque", "less")):
        return "ADJ"
    return "NOUN"


def _participle(tokens: list[Token], tags: list[Tag], index: int) -> Tag:
    """ "A smiling woman" has an adjective, "a woman smiling" and "wearing a hat" a verb."""
    lower = tokens[index].lower
    before = tags[index - 1] if _same(tokens, index, index - 1) else None
    after = tags[index + 1] if _same(tokens, index, index + 1) else None
    if not lower.endswith(("ing", "ed", "en", "lit")):
        return "NOUN" if before in ("DET", "ADJ") and after != "DET" else "VERB"
    opens = before in ("DET", "ADJ", "NUM", "PREP", "CONJ", "ADV", None)
    if opens and after in ("NOUN", "ADJ") and lower not in _TRANSITIVE:
        return "ADJ"
    if before in ("DET", "ADJ") and after is None and lower.endswith("ing"):
        return "NOUN"
    return "VERB"


def _phrases(prompt: str, tokens: list[Token]) -> list[Phrase]:
    found: list[Phrase] = []
    index = 0
    while index < len(tokens):
        start = index
        while index < len(tokens) and tokens[index].tag == "DET" and _same(tokens, start, index):
            index += 1
        first = index
        while index < len(tokens) and _same(tokens, start, index) and _inside(tokens, index):
            if index > first and _starts_anew(tokens, index):
                break
            index += 1
        last = index - 1
        while last >= first and tokens[last].tag != "NOUN":
            last -= 1
        if last < first:
            index = max(index, start + 1)
            continue
        index = last + 1
        head = last
        last = _with_of(tokens, last)
        index = last + 1
        while tokens[first].tag == "ADV" and first < head:
            first += 1
        found.append(_phrase(prompt, tokens, start, first, head, last))
    return found


def _starts_anew(tokens: list[Token], index: int) -> bool:
    """Whether words without a comma go on with something else ("cat night", "cat red bird")."""
    word, before = tokens[index], tokens[index - 1]
    if before.tag != "NOUN" or not noun_class(before.lower):
        return False
    if word.tag == "ADJ":
        return word.lower in word_sets().colours and before.lower not in word_sets().colours
    if word.tag == "NUM":
        return word.lower.isalpha()
    outside = ("times", "weathers")
    return noun_class(word.lower) in outside and noun_class(before.lower) not in (
        *outside, "places")  # fmt: skip


def _inside(tokens: list[Token], index: int) -> bool:
    tag = tokens[index].tag
    if tag == "ADV":  # "very old car"
        following = index + 1
        return _same(tokens, index, following) and tokens[following].tag in ("ADJ", "ADV")
    return tag in ("ADJ", "NOUN", "NUM")


def _with_of(tokens: list[Token], head: int) -> int:
    """The last token if an "of" phrase belongs to the head ("glass of wine"), else the head."""
    if not _same(tokens, head, head + 2) or tokens[head + 1].lower != "of":
        return head
    lower = tokens[head].lower
    if lower not in _OF_HEADS and lemma_of(lower) not in _OF_HEADS:
        return head
    index = head + 2
    while _same(tokens, head, index) and tokens[index].tag == "DET":
        index += 1
    last = index - 1
    while _same(tokens, head, index) and _inside(tokens, index):
        last = index if tokens[index].tag == "NOUN" else last
        index += 1
    return last if tokens[last].tag == "NOUN" else head


def _phrase(
    prompt: str, tokens: list[Token], start: int, first: int, head: int, last: int
) -> Phrase:
    before = tokens[start - 1] if start and _same(tokens, start, start - 1) else None
    article = " ".join(token.lower for token in tokens[start:first] if token.tag == "DET")
    return Phrase(
        text=prompt[tokens[first].start : tokens[last].end],
        start=tokens[start].start,
        end=tokens[last].end,
        first=first,
        head=head,
        last=last,
        article=article,
        preposition=before.lower if before and before.tag in ("PREP", "VERB", "CONJ") else "",
        kind=_kind(tokens, first, head),
        segment=tokens[head].segment,
    )


def _kind(tokens: list[Token], first: int, head: int) -> Kind:
    sets, word = word_sets(), tokens[head].lower
    lemma = lemma_of(word)
    if word in MEDIA or lemma in MEDIA:
        return "medium"
    content = [token for token in tokens[first : head + 1]]
    if all(lemma_of(token.lower) in sets.style or token.lower in sets.style for token in content):
        return "style"
    group = noun_class(word)
    if group in ("places", "times", "weathers"):
        return {"places": "place", "times": "time", "weathers": "weather"}[group]  # type: ignore[return-value]
    if not group and first > 0 and content[0].text[0].isupper():
        return "name"
    return "thing"
