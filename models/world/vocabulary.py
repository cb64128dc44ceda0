"""The concepts of the world and the words people use for each.

Leaves out grammar (see `models.world.grammar`) and pixels (see `models.world.draw`).  A concept's
`name` is its identifier everywhere in the code; `words` are its wordings, the canonical one first.
Text is lower case.  Run nothing: this file is data.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Concept:
    """One thing that can be said: its identifier and its wordings, the canonical one first.

    For kinds `plurals` runs parallel to `words`.  For places, times and weathers `words` are nouns
    or adjectives ("meadow", "night") and `phrases` what is appended to a caption ("in a meadow").
    For finishes and flaws `words` are complete tags ("soft shadows").
    """

    name: str
    words: tuple[str, ...]
    plurals: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()


def _table(*concepts: Concept) -> dict[str, Concept]:
    return {concept.name: concept for concept in concepts}


KINDS = _table(
    Concept("house", ("house", "cottage", "home"), ("houses", "cottages", "homes")),
    Concept("car", ("car", "automobile"), ("cars", "automobiles")),
    Concept("cat", ("cat", "kitty", "kitten"), ("cats", "kitties", "kittens")),
    Concept(
        "balloon",
        ("hot air balloon", "hot-air balloon", "balloon"),
        ("hot air balloons", "hot-air balloons", "balloons"),
    ),
    Concept("boat", ("boat", "sailboat", "sailing boat"), ("boats", "sailboats", "sailing boats")),
    Concept("rocket", ("rocket", "spaceship"), ("rockets", "spaceships")),
    Concept("flower", ("flower", "blossom"), ("flowers", "blossoms")),
    Concept("fish", ("fish",), ("fish",)),
    Concept("bird", ("bird", "birdie"), ("birds", "birdies")),
    Concept("mushroom", ("mushroom", "toadstool"), ("mushrooms", "toadstools")),
    Concept("star", ("star",), ("stars",)),
    Concept("tree", ("tree",), ("trees",)),
)

COLOURS = _table(
    Concept("red", ("red", "crimson", "scarlet")),
    Concept("orange", ("orange",)),
    Concept("yellow", ("yellow", "golden yellow")),
    Concept("green", ("green", "emerald")),
    Concept("blue", ("blue", "azure")),
    Concept("purple", ("purple", "violet")),
    Concept("pink", ("pink", "rose-colored")),
    Concept("white", ("white", "snow-white")),
)

# The count of a group of objects; "" stands for the article, which agrees with the next word.
COUNTS = {
    1: Concept("1", ("", "one", "a single")),
    2: Concept("2", ("two", "a pair of", "2")),
    3: Concept("3", ("three", "a trio of", "3")),
}

PLACES = _table(
    Concept(
        "meadow",
        ("meadow", "grassy field", "grassland"),
        phrases=("in a meadow", "in a grassy field", "on a green meadow"),
    ),
    Concept(
        "city",
        ("city street", "city", "downtown"),
        phrases=("on a city street", "in the city", "in a city", "downtown"),
    ),
    Concept(
        "snowfield",
        ("snowfield", "snowy field", "snowy landscape"),
        phrases=("on a snowfield", "in a snowy field", "in a snowy landscape"),
    ),
    Concept(
        "desert",
        ("desert", "sand dunes"),
        phrases=("in the desert", "in a desert", "among sand dunes"),
    ),
    Concept(
        "sea",
        ("sea", "ocean"),
        phrases=("at sea", "on the sea", "on the ocean", "by the ocean"),
    ),
    Concept(
        "mountains",
        ("mountains", "mountain valley"),
        phrases=("in the mountains", "in front of mountains", "in a mountain valley"),
    ),
    Concept(
        "space",
        ("outer space", "space"),
        phrases=("in outer space", "in space", "among the planets"),
    ),
)

TIMES = _table(
    Concept(
        "day",
        ("day", "daytime", "daylight"),
        phrases=("by day", "during the day", "in daylight", "in the daytime"),
    ),
    Concept(
        "sunset",
        ("sunset", "dusk"),
        phrases=("at sunset", "at dusk", "during sunset"),
    ),
    Concept(
        "night",
        ("night", "nighttime"),
        phrases=("at night", "by night", "in the night"),
    ),
)

# "clear" is the default and usually goes without saying.
WEATHERS = _table(
    Concept("clear", ("clear weather", "clear sky"), phrases=("under a clear sky",)),
    Concept("rain", ("rain", "rainy weather"), phrases=("in the rain", "with rain falling")),
    Concept("snow", ("snow", "snowfall"), phrases=("in falling snow", "with snow falling")),
    Concept("fog", ("fog", "mist"), phrases=("in the fog", "in thick fog", "in the mist")),
)

# Words that can make a picture better (what each does for which scene is the world's taste).
FINISHES = _table(
    Concept("soft shadows", ("soft shadows", "soft shadow", "gentle shadows")),
    Concept("gradient sky", ("gradient sky", "smooth gradient sky")),
    Concept("fine detail", ("fine detail", "fine details", "highly detailed", "intricate detail")),
    Concept("crisp outlines", ("crisp outlines", "sharp outlines", "clean outlines")),
    Concept("vivid colors", ("vivid colors", "vivid colours", "vibrant colors")),
    Concept("depth of field", ("depth of field", "shallow depth of field", "bokeh")),
    Concept("golden light", ("golden light", "warm golden light", "golden hour light")),
    Concept("neon glow", ("neon glow", "neon lights", "glowing neon")),
    Concept("dramatic clouds", ("dramatic clouds", "epic clouds")),
    Concept("pastel tones", ("pastel tones", "pastel colors", "pastel colours")),
)

# Words that hurt every picture.
FLAWS = _table(
    Concept("flat", ("flat", "flat shading")),
    Concept("blurry", ("blurry", "out of focus")),
    Concept("dull", ("dull", "dull colors")),
    Concept("noisy", ("noisy", "noise")),
    Concept("grainy", ("grainy", "film grain")),
    Concept("overexposed", ("overexposed", "washed out")),
)

# Where a kind is found when the prompt names no place.
HOME_PLACES = {
    "house": "meadow",
    "car": "city",
    "cat": "meadow",
    "balloon": "mountains",
    "boat": "sea",
    "rocket": "space",
    "flower": "meadow",
    "fish": "sea",
    "bird": "mountains",
    "mushroom": "meadow",
    "star": "space",
    "tree": "desert",
}

# General words for asking about a concept ("change the colour to blue", "different place").
TOPIC_WORDS = {
    "colour": ("color", "colour"),
    "colours": ("colors", "colours"),
    "kind": ("object", "subject", "thing"),
    "count": ("number",),
    "place": ("place", "background", "setting", "scene", "location"),
    "time": ("time of day", "lighting"),
    "weather": ("weather",),
    "finish": ("style", "look", "quality"),
}
