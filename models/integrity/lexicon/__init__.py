"""Word lists for reading English prompts, from `words.toml` beside this file.

Compiled by hand for this project.  They stand in for a part-of-speech tagger: a word in none of
them is taken for a noun.  Loaded once, at first use, in about a millisecond.
"""

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_FILE = Path(__file__).with_name("words.toml")


@dataclass(frozen=True)
class WordSets:
    """Closed classes, then open ones; all lower case.  `phrases` holds lists of whole phrases."""

    articles: frozenset[str]
    quantifiers: frozenset[str]
    pronouns: frozenset[str]
    prepositions: frozenset[str]
    conjunctions: frozenset[str]
    auxiliaries: frozenset[str]
    adverbs: frozenset[str]
    colours: frozenset[str]
    numbers: frozenset[str]
    materials: frozenset[str]
    adjectives: frozenset[str]
    noun_modifiers: frozenset[str]
    verbs: frozenset[str]
    nouns_in_ing: frozenset[str]
    nouns_in_ed: frozenset[str]
    style: frozenset[str]
    links: frozenset[str]
    small: frozenset[str]  # carry no content of their own
    modifiers: frozenset[str]  # may stand before a noun
    classes: dict[str, frozenset[str]]  # nouns by what they name: animals, people, …


@lru_cache(maxsize=1)
def word_sets() -> WordSets:
    """All lists, read once."""
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    lists = {name: frozenset(text.split()) for name, text in data.items() if isinstance(text, str)}
    small = (
        lists["articles"] | lists["pronouns"] | lists["prepositions"] | lists["conjunctions"]
        | lists["auxiliaries"] | lists["quantifiers"]
    )  # fmt: skip
    modifiers = (
        lists["adjectives"] | lists["colours"] | lists["materials"] | lists["numbers"]
        | lists["noun_modifiers"]
    )  # fmt: skip
    return WordSets(
        **{name: lists[name] for name in lists},
        small=small - {"no", "not", "without"},
        modifiers=modifiers,
        classes={name: frozenset(text.split()) for name, text in data["classes"].items()},
    )
