"""Words of a prompt: lemmas, clause borders, and which words are negated.

`analyse("a cat, no dogs")` gives `cat` affirmed and `dog` negated.  Hyphens split words ("hot-air"
is "hot air"), weights such as `(word:1.2)` and tags such as `<lora:x:1>` are syntax, no words, and
American spelling stands for both.  Leaves out parsing: negation is read from cues and their reach
(our choice), not from grammar.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

from models.integrity.lexicon import word_sets

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
# Syntax of renderers that must not be read as words; blanked so that offsets stay true.
_SYNTAX = re.compile(r"<[^<>\s]{1,80}:[^<>]{1,80}>|:\s*-?\d*\.?\d+\s*(?=[)\]])|\bBREAK\b")
_BREAK = re.compile(r"[,.;:!?()\[\]{}|\n\r\"“”<>/]|\s[-–—]\s")

# Lemmas the dictionary gets wrong for pictures: it takes the verb where a noun is meant.
_LEMMAS = {
    "leaves": "leaf", "skies": "sky", "left": "left", "rose": "rose", "ground": "ground",
    "better": "better", "best": "best", "found": "found", "wound": "wound", "saw": "saw",
    "glasses": "glasses", "lit": "lit", "born": "born", "felt": "felt", "lens": "lens",
    "us": "us", "as": "as", "his": "his", "was": "be", "were": "be", "is": "be", "are": "be",
    "an": "a", "grey": "gray", "axes": "axe", "dice": "dice", "spectacles": "glasses",
    "can't": "not", "won't": "not", "cannot": "not", "photo": "photo", "photos": "photo",
    "wolves": "wolf", "elves": "elf", "dwarves": "dwarf", "hooves": "hoof", "scarves": "scarf",
}  # fmt: skip
_NUMBERS = {
    "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12",
}  # fmt: skip
_OUR = re.compile(r"^(col|fav|harb|neighb|arm|hon|vap|rum|flav)our")

_CUES = frozenset({"no", "not", "without", "never", "minus", "lacking", "nor", "neither", "zero",
                   "except", "excluding", "non", "un", "sans"})  # fmt: skip
_AFTER_CUES = frozenset({"free", "less"})  # "dog-free"; only right after a hyphen
_CUES_WITH_OF = frozenset({"free", "devoid", "bereft"})  # "free of dogs"
# A preposition ends the reach of a cue once something has been negated: in "no dog in the house"
# the house is there.  "of" and "or" do not: "without a bowl of fruit or a cup".
_ENDERS = frozenset(
    {"in", "on", "at", "by", "under", "over", "near", "beside", "behind", "with", "from", "into",
     "onto", "against", "among", "between", "before", "after", "during", "through", "around",
     "above", "below", "inside", "outside", "but", "while", "where", "which", "who", "that",
     "then", "instead", "only", "just"}
)  # fmt: skip
_HAS_CUE = re.compile(
    r"n['’]t\b|\b(?:no|not|without|never|minus|lacking|nor|neither|zero|except|excluding|non|un|sans|"
    r"cannot|free|less|devoid|bereft)\b",
    re.IGNORECASE,
)
_ARTICLES = frozenset({"a", "an", "the", "one", "some", "two", "three"})


class Word(NamedTuple):
    """A word as written at `prompt[start:end]`; `clause` counts the borders before it."""

    text: str  # lower case
    lemma: str
    start: int
    end: int
    clause: int
    negated: bool


class Prompt(NamedTuple):
    """All words of a prompt in order, and where each lemma stands."""

    text: str
    words: tuple[Word, ...]
    places: dict[str, tuple[int, ...]]


@lru_cache(maxsize=65_536)
def lemma_of(word: str) -> str:
    """The dictionary form of one word, lower case, American spelling, small numbers as digits."""
    word = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    if word in _LEMMAS:
        return _LEMMAS[word]
    if word.endswith("n't"):
        return "not"
    word = word.removesuffix("'s").removesuffix("'")
    if word in _NUMBERS:
        return _NUMBERS[word]
    if not word.isascii() or not word.isalpha() or len(word) > 24:
        return word
    if word in word_sets().nouns_in_ing:
        return word
    import simplemma

    return _OUR.sub(r"\1or", str(simplemma.lemmatize(word, lang="en")).casefold())


@lru_cache(maxsize=1_024)
def analyse(prompt: str) -> Prompt:
    """Words of `prompt` with lemmas and negation.  Any text is fine; "" has no words."""
    text = _SYNTAX.sub(lambda match: " " * len(match.group()), prompt)
    words: list[Word] = []
    hyphens: set[int] = set()  # words that hang on the one before
    places: dict[str, tuple[int, ...]] = {}
    clause, last = 0, 0
    for index, match in enumerate(_WORD.finditer(text)):
        start, end = match.span()
        between = text[last:start]
        if between != " ":
            clause += _BREAK.search(between) is not None
            if between == "-":
                hyphens.add(index)
        lower, lemma = _lower_and_lemma(match.group())
        words.append(Word(lower, lemma, start, end, clause, False))
        places[lemma] = (*places[lemma], index) if lemma in places else (index,)
        last = end
    if _HAS_CUE.search(text):
        for index in _negated(words, hyphens):
            words[index] = words[index]._replace(negated=True)
    return Prompt(prompt, tuple(words), places)


@lru_cache(maxsize=32_768)
def _lower_and_lemma(word: str) -> tuple[str, str]:
    return word.lower(), lemma_of(word)


def _negated(words: list[Word], hyphens: set[int]) -> list[int]:
    """Indices of words a cue reaches: to the end of its clause, a preposition, or "and a …"."""
    found: list[int] = []
    reach, reached, clause = False, False, -1
    for index, word in enumerate(words):
        text = word.text
        following = words[index + 1].text if index + 1 < len(words) else ""
        if word.clause != clause:
            # "without a dog, cat or bird": whether a list goes on is too rare to guess, so a
            # comma ends the reach.
            reach, reached, clause = False, False, word.clause
        if index in hyphens and text in _AFTER_CUES:
            found.append(index - 1)
            continue
        with_of = text in _CUES_WITH_OF and following == "of"
        if text in _CUES or word.lemma == "not" or with_of:
            # "not only" affirms; "no 1" and "no. 5" name things; "un" must be a prefix.
            affirms = following in ("only", "just", "1")
            if not affirms and (text != "un" or index + 1 in hyphens):
                reach, reached = True, False
            continue
        if not reach:
            continue
        if reached and (text in _ENDERS or (text == "and" and following in _ARTICLES)):
            reach = False
            continue
        found.append(index)
        reached = reached or (text not in _ARTICLES and text not in ("any", "of", "to", "be"))
    return found
