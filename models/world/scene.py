"""What a picture of the world shows: one or two groups of objects, a place, a time, a finish.

A `Scene` says what a prompt says: `None` means "not said", and `resolve` fills it in from the seed
alone, so that a scene before and after an edit shares every choice the edit does not touch.
Leaves out wording (`captions`, `grammar`) and pixels (`draw`).
"""

import random
from dataclasses import dataclass, replace
from hashlib import blake2b

from models.world.vocabulary import (
    COLOURS,
    FINISHES,
    FLAWS,
    HOME_PLACES,
    KINDS,
    PLACES,
    TIMES,
    WEATHERS,
)
from schemas.errors import ModelError

MAX_OBJECTS = 3  # over both groups; more would be too small at 64x64 (our choice)

_KINDS, _COLOURS, _PLACES, _TIMES = list(KINDS), list(COLOURS), list(PLACES), list(TIMES)


@dataclass(frozen=True)
class Group:
    """`count` objects of one kind and colour; a colour of `None` is not said."""

    kind: str
    colour: str | None = None
    count: int = 1

    def __post_init__(self) -> None:
        _check("kind", self.kind, KINDS)
        if self.colour is not None:
            _check("colour", self.colour, COLOURS)
        if not 1 <= self.count <= MAX_OBJECTS:
            raise ModelError(f"count {self.count!r} is not in 1..{MAX_OBJECTS}")


@dataclass(frozen=True)
class Scene:
    """What a prompt says about a picture; raises `ModelError` on a word outside the vocabulary.

    `groups` are listed from left to right.  `finishes` and `flaws` are sets in the order of
    mention; the order changes nothing in the picture.
    """

    groups: tuple[Group, ...]
    place: str | None = None
    time: str | None = None
    weather: str = "clear"
    finishes: tuple[str, ...] = ()
    flaws: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.groups) <= 2:
            raise ModelError(f"a scene has one or two groups of objects, not {len(self.groups)}")
        if sum(group.count for group in self.groups) > MAX_OBJECTS:
            raise ModelError(f"more than {MAX_OBJECTS} objects: {self.groups}")
        if self.place is not None:
            _check("place", self.place, PLACES)
        if self.time is not None:
            _check("time", self.time, TIMES)
        _check("weather", self.weather, WEATHERS)
        for finish in self.finishes:
            _check("finish", finish, FINISHES)
        for flaw in self.flaws:
            _check("flaw", flaw, FLAWS)

    def plain(self) -> "Scene":
        """The same content without finish and flaw words."""
        return replace(self, finishes=(), flaws=())


def _check(field: str, value: str, table: dict) -> None:
    if value not in table:
        raise ModelError(f"unknown {field} {value!r}: one of {', '.join(table)}")


def rng(seed: int, purpose: str) -> random.Random:
    """A generator that depends on the seed and on what it is for, and on nothing else."""
    digest = blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


def resolve(scene: Scene, seed: int) -> Scene:
    """The scene with everything said: unsaid parts come from the seed, each independently.

    An unsaid place is the home of the first kind four times in five, an unsaid time is day four
    times in five, an unsaid colour is uniform (our choice: what people mean when they do not say).
    """
    choose = rng(seed, "unsaid")
    home, place = choose.random() < 0.8, choose.choice(_PLACES)
    day, time = choose.random() < 0.8, choose.choice(_TIMES)
    colours = [choose.choice(_COLOURS) for _ in range(2)]
    groups = tuple(
        group if group.colour else replace(group, colour=colour)
        for group, colour in zip(scene.groups, colours, strict=False)
    )
    if scene.place is None:
        place = HOME_PLACES[groups[0].kind] if home else place
    else:
        place = scene.place
    time = scene.time or ("day" if day else time)
    return replace(scene, groups=groups, place=place, time=time)


# Pairs that no training picture or text shows, for "unseen combination" figures: one colour and
# one place of each kind, chosen among those that people ask for least.
UNSEEN_COLOURS = {
    "house": "purple",
    "car": "pink",
    "cat": "green",
    "balloon": "white",
    "boat": "purple",
    "rocket": "pink",
    "flower": "green",
    "fish": "white",
    "bird": "orange",
    "mushroom": "blue",
    "star": "green",
    "tree": "blue",
}
UNSEEN_PLACES = {
    "house": "space",
    "car": "sea",
    "cat": "space",
    "balloon": "snowfield",
    "boat": "mountains",
    "rocket": "meadow",
    "flower": "city",
    "fish": "desert",
    "bird": "space",
    "mushroom": "city",
    "star": "snowfield",
    "tree": "sea",
}


def is_unseen_combination(scene: Scene) -> bool:
    """True if the scene says a (kind, colour) or (kind, place) pair kept out of all training."""
    return any(
        UNSEEN_COLOURS[group.kind] == group.colour or UNSEEN_PLACES[group.kind] == scene.place
        for group in scene.groups
    )


def sample_scene(
    generator: random.Random,
    *,
    two_groups: float = 0.35,
    unsaid: float = 0.15,
    weather: float = 0.2,
    finish: float = 0.5,
    flaw: float = 0.15,
    unseen: bool | None = False,
) -> Scene:
    """Draw a scene at random; the shares are probabilities of our choice.

    `unsaid` is the chance that colour, place or time is `None` (each), `finish` that there are
    finish words at all (then 1 to 4, rarely up to all), `flaw` that there are 1 or 2 flaw words.
    `unseen` False keeps the held-out combinations out, True asks for one, None does not care.
    """
    while True:
        scene = _sample_content(generator, two_groups, unsaid, weather)
        if unseen is None or is_unseen_combination(scene) == unseen:
            break
    finishes: list[str] = []
    if generator.random() < finish:
        many = generator.random() < 0.1
        size = generator.randint(5, len(FINISHES)) if many else generator.randint(1, 4)
        finishes = generator.sample(list(FINISHES), size)
    flaws: list[str] = []
    if generator.random() < flaw:
        flaws = generator.sample(list(FLAWS), generator.choice((1, 1, 2)))
    return replace(scene, finishes=tuple(finishes), flaws=tuple(flaws))


def _sample_content(
    generator: random.Random, two_groups: float, unsaid: float, weather: float
) -> Scene:
    def maybe(values: list[str]) -> str | None:
        return None if generator.random() < unsaid else generator.choice(values)

    if generator.random() < two_groups:
        kinds = generator.sample(_KINDS, 2)
        counts = generator.choice(((1, 1), (1, 1), (1, 2), (2, 1)))
    else:
        kinds, counts = [generator.choice(_KINDS)], (generator.choice((1, 1, 1, 2, 2, 3)),)
    groups = tuple(Group(k, maybe(_COLOURS), n) for k, n in zip(kinds, counts, strict=True))
    skies = list(WEATHERS)[1:]
    return Scene(
        groups=groups,
        place=maybe(_PLACES),
        time=maybe(_TIMES),
        weather=generator.choice(skies) if generator.random() < weather else "clear",
    )
