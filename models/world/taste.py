"""How good a picture of the world looks: the one documented function behind all ratings.

`taste(scene)` is about 5 for a plain scene and moves by about one either way.  What a finish word
does depends on the scene (neon helps a city at night and hurts a field at noon), words interact
(neon and golden light fight), beyond three words each further one costs more, and flaws always
hurt.  So no fixed suffix is good everywhere and stuffing is worse than nothing; the figures are in
`benchmarks/headroom.py`.  Only the training of the scorers may import this.  Our choice throughout.
"""

from models.world.scene import Scene
from schemas.errors import ModelError

PLAIN = 5.0
FREE_WORDS = 3  # finishes that cost nothing by their number
CROWDING = 0.2  # cost of the first finish beyond them; the next cost more

# Finish → [(fact of the scene, gain)], added to a base gain.  A fact is a place, time, weather,
# `one`/`many` objects.  The sum of the facts that hold is what the word is worth in this scene.
EFFECTS: dict[str, tuple[float, dict[str, float]]] = {
    "soft shadows": (0.0, {"day": 0.6, "sunset": 0.1, "night": -0.4, "snowfield": 0.3,
                            "space": -0.5, "fog": -0.3, "one": 0.1}),
    "gradient sky": (0.0, {"sunset": 0.6, "night": -0.2, "sea": 0.3, "desert": 0.3,
                            "city": -0.3, "space": -0.3, "fog": -0.3}),
    "fine detail": (0.05, {"meadow": 0.5, "city": 0.3, "mountains": 0.2, "snowfield": -0.4,
                            "sea": -0.2, "fog": -0.4, "many": -0.3, "one": 0.2}),
    "crisp outlines": (0.0, {"day": 0.3, "night": -0.3, "snowfield": 0.5, "many": 0.35,
                              "fog": -0.4, "one": -0.2, "sunset": -0.1}),
    "vivid colors": (0.0, {"day": 0.2, "meadow": 0.4, "sea": 0.4, "snowfield": -0.4,
                            "night": -0.3, "rain": 0.4, "desert": -0.2}),
    "depth of field": (-0.05, {"one": 0.6, "many": -0.5, "city": 0.3, "mountains": -0.4,
                               "space": -0.2, "rain": 0.2}),
    "golden light": (-0.15, {"sunset": 0.8, "day": 0.1, "night": -0.5, "desert": 0.4,
                             "mountains": 0.2, "snowfield": -0.3, "rain": -0.3, "city": -0.1}),
    "neon glow": (-0.35, {"night": 0.7, "city": 0.6, "space": 0.4, "day": -0.4, "meadow": -0.3,
                          "rain": 0.3, "snow": -0.2}),
    "dramatic clouds": (-0.1, {"mountains": 0.6, "sea": 0.5, "sunset": 0.2, "space": -0.1,
                               "city": -0.3, "rain": 0.3, "snow": -0.2, "day": 0.1}),
    "pastel tones": (-0.2, {"snowfield": 0.5, "fog": 0.6, "snow": 0.4, "day": 0.3, "meadow": 0.2,
                            "night": -0.3, "city": -0.2, "space": 0.2}),
}  # fmt: skip
# Pairs that fight or go well together, wherever they meet.
CLASHES: dict[frozenset[str], float] = {
    frozenset(("vivid colors", "pastel tones")): -0.7,
    frozenset(("neon glow", "golden light")): -0.7,
    frozenset(("neon glow", "pastel tones")): -0.4,
    frozenset(("crisp outlines", "depth of field")): -0.4,
    frozenset(("fine detail", "pastel tones")): -0.3,
    frozenset(("gradient sky", "dramatic clouds")): -0.5,
    frozenset(("golden light", "soft shadows")): 0.25,
    frozenset(("neon glow", "vivid colors")): 0.3,
    frozenset(("depth of field", "fine detail")): 0.2,
    frozenset(("gradient sky", "golden light")): 0.2,
    frozenset(("crisp outlines", "vivid colors")): 0.2,
}
FLAW_COSTS = {
    "flat": 0.6, "blurry": 0.8, "dull": 0.8, "noisy": 0.9, "grainy": 0.6, "overexposed": 0.8,
}  # fmt: skip


def taste(scene: Scene) -> float:
    """The rating of a resolved scene, about 5 ± 1.

    Raises `ModelError` if place or time is not said: an unresolved scene has no picture to judge.
    """
    if scene.place is None or scene.time is None:
        raise ModelError(f"taste judges what is drawn: resolve the scene first ({scene})")
    facts = _facts(scene)
    finishes = set(scene.finishes)
    value = PLAIN
    for finish in finishes:
        base, effects = EFFECTS[finish]
        value += base + sum(gain for fact, gain in effects.items() if fact in facts)
    value += sum(gain for pair, gain in CLASHES.items() if pair <= finishes)
    for extra in range(1, len(finishes) - FREE_WORDS + 1):
        value -= CROWDING * extra**0.5
    return value - sum(FLAW_COSTS[flaw] for flaw in set(scene.flaws))


def _facts(scene: Scene) -> set[str]:
    objects = sum(group.count for group in scene.groups)
    return {scene.place or "", scene.time or "", scene.weather, "one" if objects == 1 else "many"}
