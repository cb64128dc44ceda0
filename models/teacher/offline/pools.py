"""What the editor draws from: hints of the request where it carries some, else its own lists.

Every draw is blind to the scene and to any judge of pictures: which words help is for the scorers
to find out.  `lexicon/pools.toml` and `lexicon/phrasings.toml` hold the lists.
"""

import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from models.integrity.words import lemma_of

_FOLDER = Path(__file__).with_name("lexicon")

# Which list a hint named in the request fills, by a part of its name ("finishes", "colors", …).
_HINTS = {
    "object": "objects", "kind": "objects", "subject": "objects", "thing": "objects",
    "colo": "colours", "place": "places", "setting": "places", "background": "places",
    "time": "times", "weather": "weathers", "style": "styles", "finish": "finishes",
    "quality": "finishes", "tag": "finishes", "light": "lights", "compos": "compositions",
    "framing": "compositions", "camera": "compositions", "flaw": "flaws",
}  # fmt: skip
# How a bare place, time or weather is said in a sentence.
_AT = {"sea": "at", "harbor": "at", "night": "at", "nighttime": "at", "sunset": "at", "dusk": "at",
       "dawn": "at", "noon": "at", "midnight": "at", "twilight": "at", "sunrise": "at",
       "day": "by", "daylight": "in", "daytime": "in the", "morning": "in the",
       "afternoon": "in the", "evening": "in the", "downtown": "", "space": "in",
       "outer space": "in", "desert": "in the", "mountains": "in the", "city": "in the",
       "ocean": "on the", "rain": "in the", "fog": "in the", "mist": "in the", "snow": "in the",
       "clear sky": "under a", "clear weather": "in", "sand dunes": "among", "snowfall": "in",
       "rainy weather": "in"}  # fmt: skip
_PREPOSITION = re.compile(
    r"^(in front of|under|in|on|at|by|among|with|during|inside|near|around)\b\s*(the |an? )?",
    re.IGNORECASE,
)


@lru_cache(maxsize=1)
def phrasings() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Templates by operation, and wrappers."""
    data = tomllib.loads((_FOLDER / "phrasings.toml").read_text(encoding="utf-8"))
    return data["templates"], data["wrappers"]


@lru_cache(maxsize=1)
def own_lists() -> dict[str, tuple[str, ...]]:
    """The editor's own lists by name."""
    data = tomllib.loads((_FOLDER / "pools.toml").read_text(encoding="utf-8"))
    return {
        name: tuple(part.strip() for part in text.replace("\n", " ").split(";") if part.strip())
        for name, text in data.items()
    }


def bare(phrase: str) -> str:
    """A place, time or weather without its preposition and article ("in the rain": "rain")."""
    return _PREPOSITION.sub("", phrase) or phrase


def as_phrase(word: str) -> str:
    """A bare place, time or weather with a preposition; one that has it stays."""
    if _PREPOSITION.match(word) or word == "downtown":
        return word
    if word in _AT:
        return f"{_AT[word]} {word}".strip()
    head = word.split()[-1]
    if head in ("street", "snowfield", "beach", "meadow", "rooftop", "road"):
        return f"{'in' if head == 'meadow' else 'on'} a {word}"
    if head.endswith("s") or head in ("fog", "rain", "mist", "snow", "space"):
        return f"in {word}"
    return f"in {'an' if word[0] in 'aeiou' else 'a'} {word}"


class Pools:
    """Lists to draw from for one request, with its generator."""

    def __init__(self, hints: Mapping[str, Sequence[str]], generator: random.Random) -> None:
        self.generator = generator
        self.hinted: dict[str, tuple[str, ...]] = {}
        for key, words in hints.items():
            name = next((list_ for part, list_ in _HINTS.items() if part in key.lower()), None)
            clean = tuple(str(word).strip() for word in words if 0 < len(str(word).strip()) <= 60)
            if name and clean:
                self.hinted[name] = self.hinted.get(name, ()) + clean
        # One list of finish words serves every kind of looks, if it is all the request names.
        tags = self.hinted.get("finishes") or self.hinted.get("styles")
        if tags:
            for name in ("finishes", "styles", "lights", "compositions"):
                self.hinted.setdefault(name, tags)

    def list(self, name: str) -> tuple[str, ...]:
        return self.hinted.get(name) or own_lists()[name]

    def pick(self, name: str) -> str:
        return self.generator.choice(self.list(name))

    def choice(self, items: Sequence[str]) -> str:
        return self.generator.choice(items)

    def chance(self, share: float) -> bool:
        return self.generator.random() < share

    def object(self) -> str:
        """Something to add: a hinted object in a hinted colour, or one of the editor's own."""
        if "objects" not in self.hinted:
            return self.pick("objects")
        thing = self.pick("objects")
        return f"{self.pick('colours')} {thing}" if self.chance(0.7) else thing

    def another(self, name: str, lemma: str) -> str:
        """An entry of a list whose last word is not `lemma`."""
        hinted = self.hinted.get("objects", ())
        if any(lemma_of(word.split()[-1]) == lemma for word in hinted):
            words = hinted
        else:
            words = own_lists()[name]
        others = [word for word in words if lemma_of(word.split()[-1]) != lemma]
        return self.generator.choice(others or list(own_lists()["objects"]))

    def where(self, name: str) -> str:
        """A place, time or weather with its preposition."""
        return as_phrase(self.pick(name))
