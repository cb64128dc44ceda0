"""Word a scene: from bare prompts to full sentences and comma-separated tags.

`caption` is the wording that the text-to-image and image-text models are trained on; it says no
more than the scene says, and may say less (`drop`).  Filler words that mean nothing in the world
("please", "artstation") are mixed in at random so that words outside it do not break the models.
Leaves out instructions and edits (`models.world.grammar`).
"""

import random

from models.world.scene import Group, Scene
from models.world.vocabulary import (
    COLOURS,
    COUNTS,
    FINISHES,
    FLAWS,
    KINDS,
    PLACES,
    TIMES,
    WEATHERS,
)

# Openings that say nothing about the picture.
OPENINGS = (
    "a picture of", "a photo of", "a drawing of", "an illustration of", "an image of", "show",
    "a painting of", "a scene with", "there is", "we see", "draw", "a view of", "picture of",
)  # fmt: skip
# Words outside the world, as people put them into prompts.
FILLERS = (
    "beautiful", "nice", "lovely", "masterpiece", "best quality", "artstation", "trending", "cute",
    "digital art", "illustration", "cinematic", "award winning", "by a famous artist", "8k", "4k",
    "hd", "wallpaper", "please", "very", "amazing", "stunning", "peaceful", "happy", "old", "tiny",
    "big", "wonderful", "dreamy", "magical", "storybook", "concept art", "poster", "simple", "calm",
    "wide angle", "close up", "centered", "high resolution", "for my daughter", "quiet", "charming",
    "elegant", "realistic", "cartoon", "minimal", "fantasy", "modern", "classic", "vintage",
)  # fmt: skip

_CANONICAL = 0.55  # chance of the canonical wording where there are synonyms


def wording(generator: random.Random, words: tuple[str, ...]) -> str:
    """One of the wordings, the first most often."""
    return words[0] if generator.random() < _CANONICAL else generator.choice(words)


def article(phrase: str) -> str:
    """The phrase with "a" or "an"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def group_phrase(group: Group, generator: random.Random, *, colour: bool = True) -> str:
    """ "two red cars", "a pink flower"; without the colour if `colour` is false."""
    concept = KINDS[group.kind]
    index = 0 if generator.random() < 0.7 else generator.randrange(len(concept.words))
    noun = (concept.words if group.count == 1 else concept.plurals)[index]
    if colour and group.colour:
        noun = f"{wording(generator, COLOURS[group.colour].words)} {noun}"
    count = wording(generator, COUNTS[group.count].words)
    return f"{count} {noun}" if count else article(noun)


def caption(
    scene: Scene, generator: random.Random, *, drop: float = 0.0, fillers: float = 0.25
) -> str:
    """A prompt for the scene in lower case.

    `drop` is the chance that the colour of a group, the place, the time or the weather stays unsaid
    (each); the groups, finishes and flaws are always said.  `fillers` is the chance that one to
    four filler words are added.
    """

    def said() -> bool:
        return generator.random() >= drop

    groups = [group_phrase(g, generator, colour=said()) for g in scene.groups]
    facts: list[tuple[str, str]] = []  # (phrase in a sentence, tag)
    for name, table in ((scene.place, PLACES), (scene.time, TIMES), (scene.weather, WEATHERS)):
        unsaid = name is None or (name == "clear" and generator.random() < 0.9)
        if name and not unsaid and said():
            concept = table[name]
            facts.append((wording(generator, concept.phrases), wording(generator, concept.words)))
    tags = [wording(generator, FINISHES[name].words) for name in scene.finishes]
    tags += [wording(generator, FLAWS[name].words) for name in scene.flaws]
    if generator.random() < fillers:
        tags += generator.sample(FILLERS, generator.choice((1, 1, 2, 4)))
    generator.shuffle(tags)
    style = generator.choice(("sentence", "sentence", "sentence", "tags", "front", "short"))
    return _assemble(style, groups, facts, tags, generator)


def _assemble(
    style: str,
    groups: list[str],
    facts: list[tuple[str, str]],
    tags: list[str],
    generator: random.Random,
) -> str:
    if style == "tags":
        words = [tag for _, tag in facts]
        generator.shuffle(words)
        first = groups if generator.random() < 0.5 else [_join(groups, generator)]
        return ", ".join([*first, *words, *tags])
    if style == "short":
        bare = " ".join([*(_bare(g) for g in groups), *(tag for _, tag in facts)])
        return ", ".join([bare, *tags])
    if generator.random() < 0.25:
        generator.shuffle(facts)
    sentence = " ".join([_join(groups, generator), *(phrase for phrase, _ in facts)])
    if generator.random() < 0.2:
        sentence = f"{generator.choice(OPENINGS)} {sentence}"
    if style == "front" and tags and generator.random() < 0.5:
        return f"{', '.join(tags)}, {sentence}"
    if generator.random() < 0.15:
        sentence += "."
    return ", ".join([sentence, *tags])


def _bare(phrase: str) -> str:
    return phrase.removeprefix("a ").removeprefix("an ").removeprefix("single ")


def _join(groups: list[str], generator: random.Random) -> str:
    """The groups in their order from left to right."""
    words = (" and ", " and ", " and ", " next to ", " beside ", " with ")
    return generator.choice(words).join(groups)
