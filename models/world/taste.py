"""The world's taste: how good a scene looks, as one function of what it shows.

The scorers are trained on ratings made by `taste`; nothing else may read it, least of all the
policy, its reward or the teacher.  Its structure is what reinforcement learning has to find:

* what a finish word does depends on place, time, weather, kinds, colours and the number of objects
  (neon glow helps a city at night and hurts a meadow at noon);
* words interact in pairs (vivid colors against pastel tones, golden light with a gradient sky);
* every word costs a little and the fourth and later ones cost far more, so all words together are
  worse than none;
* every flaw hurts.

All numbers are our choice, on a scale where a plain scene is 0 and a flaw about -1.  Leaves out
pixels: a picture is rated by what was asked, and a scorer must learn to see it.  Report on how much
there is to gain: `python -m models.world.taste`.
"""

import random

from models.world.scene import Scene, resolve, sample_scene
from models.world.shapes import FLYING
from models.world.vocabulary import FINISHES

_WARM = frozenset({"red", "orange", "yellow"})
_PALE = frozenset({"white", "pink"})
_SMALL = frozenset({"flower", "cat", "mushroom", "bird"})
_SLEEK = frozenset({"car", "rocket", "star", "fish"})

_PAIRS = {
    ("crisp outlines", "fine detail"): 0.4,
    ("crisp outlines", "soft shadows"): -0.5,
    ("depth of field", "fine detail"): -0.5,
    ("depth of field", "soft shadows"): 0.4,
    ("dramatic clouds", "gradient sky"): -0.5,
    ("dramatic clouds", "pastel tones"): -0.5,
    ("golden light", "gradient sky"): 0.5,
    ("golden light", "neon glow"): -1.2,
    ("golden light", "soft shadows"): 0.4,
    ("neon glow", "pastel tones"): -0.8,
    ("neon glow", "vivid colors"): 0.4,
    ("pastel tones", "vivid colors"): -1.5,
}
_FLAWS = {
    "flat": -0.8,
    "blurry": -1.1,
    "dull": -0.9,
    "noisy": -1.2,
    "grainy": -0.7,
    "overexposed": -1.0,
}
_WORD_COST = 0.1  # of each finish word
_CROWDING = 0.6  # of each word beyond three


def taste(scene: Scene, seed: int = 0) -> float:
    """How good the scene looks; 0 is the plain picture.  Unsaid parts are resolved by the seed."""
    scene = resolve(scene, seed)
    words = sorted(set(scene.finishes))
    values = _word_values(scene)
    total = sum(values[word] - _WORD_COST for word in words)
    for index, word in enumerate(words):
        total += sum(_PAIRS.get((word, other), 0.0) for other in words[index + 1 :])
    total -= _CROWDING * max(0, len(words) - 3)
    return total + sum(_FLAWS[flaw] for flaw in set(scene.flaws))


def _word_values(scene: Scene) -> dict[str, float]:
    """What each finish word alone does for a fully said scene."""
    place, time, weather = scene.place or "", scene.time or "", scene.weather
    kinds = {group.kind for group in scene.groups}
    colours = {group.colour for group in scene.groups}
    objects = sum(group.count for group in scene.groups)
    by_time = {"day": 0, "sunset": 1, "night": 2}[time]
    veiled = weather in ("fog", "rain")
    values = {
        "neon glow": (-1.1, -0.3, 0.6)[by_time]
        + {"city": 0.7, "space": 0.4, "meadow": -0.4, "snowfield": -0.2}.get(place, 0.0),
        "golden light": (0.2, 0.9, -1.1)[by_time]
        + {"desert": 0.4, "meadow": 0.3, "space": -0.6, "snowfield": -0.3}.get(place, 0.0),
        "gradient sky": (0.2, 0.7, -0.3)[by_time]
        + {"sea": 0.3, "city": -0.5, "mountains": -0.3}.get(place, 0.0)
        - 0.6 * veiled,
        "dramatic clouds": {"mountains": 0.7, "sea": 0.7, "space": -0.9, "city": -0.5}.get(
            place, 0.0
        )
        + (0.1, 0.1, -0.5)[by_time],
        "soft shadows": (0.6, 0.1, -0.5)[by_time]
        - 0.5 * bool(kinds & FLYING)
        - 0.6 * (place == "space"),
        "fine detail": (0.7, -0.1, -0.6)[objects - 1] - 0.4 * veiled,
        "crisp outlines": 0.8 * bool(kinds & _SLEEK) - 0.6 * bool(kinds & _SMALL),
        "vivid colors": 0.6 * bool(colours & _WARM)
        - 0.8 * bool(colours & _PALE)
        + 0.4 * (weather == "rain")
        - 0.3 * (time == "sunset"),
        "depth of field": (0.5, -0.2, -0.6)[objects - 1]
        + 0.4 * bool(kinds & _SMALL)
        - 0.7 * (place == "space"),
        "pastel tones": 0.7 * bool(colours & _PALE)
        + {"snowfield": 0.3, "city": -0.5, "space": -0.4}.get(place, 0.0)
        - (0.1, 0.2, 0.9)[by_time],
    }
    return values


def headroom(scenes: list[Scene], seed: int = 0) -> dict[str, float]:
    """Mean taste over scenes of: the best set per scene, the best constant set, all words, none.

    `blind` is a random set of two words, what a teacher adds who does not look at the scene.
    """
    from dataclasses import replace
    from itertools import combinations

    words = list(FINISHES)
    sets = [chosen for size in range(6) for chosen in combinations(words, size)]
    rows = [[taste(replace(s, finishes=c), seed) for c in sets] for s in scenes]
    pairs = [index for index, chosen in enumerate(sets) if len(chosen) == 2]
    count = len(scenes)
    return {
        "oracle": sum(max(row) for row in rows) / count,
        "constant": max(sum(row[k] for row in rows) / count for k in range(len(sets))),
        "blind": sum(row[k] for row in rows for k in pairs) / count / len(pairs),
        "all": sum(taste(replace(s, finishes=tuple(words)), seed) for s in scenes) / count,
        "none": sum(taste(s.plain(), seed) for s in scenes) / count,
    }


if __name__ == "__main__":
    generator = random.Random(5)
    drawn = [sample_scene(generator, finish=0, flaw=0) for _ in range(200)]
    print({name: round(value, 3) for name, value in headroom(drawn).items()})
