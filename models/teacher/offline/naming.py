"""How phrases of a prompt are named, cut out and put in.

The English side of the edits of content: whether a phrase is plural or a name, how an instruction
refers to it ("the car"), what follows it.  Leaves out which phrase to edit.
"""

import re

from models.integrity.lexicon import word_sets
from models.integrity.phrases import Phrase, Token, noun_class
from models.integrity.words import lemma_of
from models.teacher.offline.english import fix_article
from models.teacher.offline.pools import Pools
from models.teacher.offline.reading import Reading

PLACE_PREPOSITIONS = frozenset({"in", "on", "at", "inside", "near", "by", "under", "over"})
# Of something else, or of the picture: never a thing to exchange or take out.
PARTS = frozenset(
    """tongue finger fingers foot feet shoulder shoulders neck shape hair eyes eye face head
    hand hands body legs skin nose mouth ears tail wings teeth beard arm arms fur leg side
    top bottom front back middle center part parts detail details view scene time way kind
    type version form shape look expression pose light lights lighting shadow shadows
    background foreground style color colors game movie series show episode anime cartoon
    name title text word words letter letters logo design concept""".split()  # noqa: SIM905
)
_JOINED = frozenset("/-_&'’*#@+")
_PARTICLES = frozenset(
    {"out", "up", "off", "down", "away", "themed", "shaped", "inspired", "colored", "coloured",
     "looking", "like", "styled", "based"}
)  # fmt: skip


def uses_articles(reading: Reading) -> bool:
    return any(phrase.article in ("a", "an", "the") for phrase in reading.parsed.phrases)


def is_plural(phrase: Phrase, reading: Reading) -> bool:
    word = reading.parsed.tokens[phrase.head].lower
    if word in ("people", "men", "women", "children", "clothes", "pants", "glasses", "sunglasses"):
        return True
    return word.endswith("s") and not word.endswith(("ss", "us", "is")) and lemma_of(word) != word


def is_name(phrase: Phrase, reading: Reading) -> bool:
    """A proper name, by capitals, or by standing without an article among others that have one."""
    tokens = reading.parsed.tokens[phrase.first : phrase.last + 1]
    head = reading.parsed.tokens[phrase.head].lower
    capitals = all(token.text[0].isupper() for token in tokens) and len(tokens) > 1
    if phrase.article or is_plural(phrase, reading) or (noun_class(head) and not capitals):
        return False
    if all(token.text[0].isupper() for token in tokens if token.tag == "NOUN"):
        return True
    return uses_articles(reading) and all(token.tag == "NOUN" for token in tokens)


def said(phrase: Phrase, reading: Reading) -> str:
    """The phrase as it is said in the middle of a sentence."""
    text = re.sub(r"\s+", " ", phrase.text)
    first = reading.parsed.tokens[phrase.first]
    lower_rest = text[1:] == text[1:].lower()
    if not is_name(phrase, reading) and lower_rest and first.text != "I":
        text = text[:1].lower() + text[1:]
    return text


def the(phrase: Phrase, reading: Reading, pools: Pools) -> str:
    """How an instruction refers to what the phrase names: whole, or by its noun alone."""
    if is_name(phrase, reading):
        return said(phrase, reading)
    tokens = reading.parsed.tokens
    known = phrase.article or noun_class(tokens[phrase.head].lower) or is_plural(phrase, reading)
    if not known and all(token.tag == "NOUN" for token in tokens[phrase.first : phrase.last + 1]):
        return said(phrase, reading)  # "thanos", "pasta"
    first = phrase.first
    while first < phrase.head and (
        tokens[first].tag == "NUM" or tokens[first].lower.endswith("'s")
    ):
        first += 1
    long = phrase.last - first > 3
    if long or (pools.chance(0.5) and phrase.head > first):
        compound = word_sets().noun_modifiers  # "hot air balloon" is one word
        while (first < phrase.head and tokens[first].tag != "NOUN"
               and tokens[first].lower not in compound):  # fmt: skip
            first += 1
    text = reading.text[tokens[first].start : tokens[phrase.last].end]
    lowered = text[:1].lower() + text[1:] if text[1:] == text[1:].lower() else text
    return f"the {lowered}"


def next_token(phrase: Phrase, reading: Reading) -> Token | None:
    """The token after the phrase in its segment."""
    tokens, index = reading.parsed.tokens, phrase.last + 1
    if index < len(tokens) and tokens[index].segment == phrase.segment:
        return tokens[index]
    return None


def ends_clause(phrase: Phrase, reading: Reading) -> bool:
    """Whether what follows does not hang on this phrase: nothing, a place, or "and"."""
    following = next_token(phrase, reading)
    if following is None:
        return True
    if following.lower in ("and",):
        return False
    return following.lower in PLACE_PREPOSITIONS and any(
        other.preposition == following.lower and other.first > phrase.last
        and other.kind in ("place", "time", "weather") and other.first - phrase.last <= 4
        for other in reading.parsed.phrases
    )  # fmt: skip


def stands_alone(phrase: Phrase, reading: Reading) -> bool:
    """Whether the phrase is all there is of it: no "ui/ux", "post apocalyptic", "tongue out"."""
    text = reading.text
    if text[phrase.start - 1 : phrase.start] in _JOINED if phrase.start else False:
        return False
    if text[phrase.end : phrase.end + 1] in _JOINED and phrase.end < len(text):
        return False
    tokens = reading.parsed.tokens
    before = phrase.first - 2
    if phrase.article == "the" and before >= 0 and tokens[before].segment == phrase.segment \
            and tokens[before].tag == "NOUN":  # fmt: skip
        return False  # "Winnie the Pooh"
    following = next_token(phrase, reading)
    if following is None:
        return True
    return following.tag not in ("ADJ", "NOUN", "NUM") and following.lower not in _PARTICLES


def cut(text: str, start: int, end: int) -> str:
    """`text` without `[start, end)`, its seam closed."""
    left, right = text[:start].rstrip(" "), text[end:]
    if not left:
        return right.lstrip(" ,.;")
    if not right or right[0] in ",.;\n|":
        return (left.rstrip(" ,;.") if right else left.rstrip(" ,;")) + right
    return f"{left} {right.lstrip(' ')}"


def put(text: str, start: int, end: int, new: str) -> str:
    """`text` with `new` for `[start, end)`; an article before it is made to agree."""
    return fix_article(text[:start] + new + text[end:], start)


def subject(reading: Reading) -> Phrase | None:
    """What the picture is of: the first phrase that is a thing."""
    for phrase in reading.phrases():
        if phrase.kind in ("thing", "name"):
            return phrase
    return None
