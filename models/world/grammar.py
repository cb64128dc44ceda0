"""Scenes as people word them: short raw prompts, style-free intents, finished prompts.

A `Voice` is a consistent way of wording: every choice depends on the voice's seed and on what it is
for, so two scenes said in one voice differ in their words only where they differ in content.  That
is what makes the raw prompt and the target prompt of an edit (`models.world.edits`) minimal pairs.
Leaves out instructions and pixels.

`python -m models.world.grammar 1500 > prompts.txt` writes distinct raw prompts;
`--unseen` writes prompts with combinations that no training shows.
"""

import argparse
import random
import re
from dataclasses import dataclass, replace

from models.world.scene import Group, Scene, is_unseen_combination, resolve, rng, sample_scene
from models.world.vocabulary import (
    COLOURS,
    COUNTS,
    FINISHES,
    FLAWS,
    KINDS,
    PLACES,
    TIMES,
    WEATHERS,
    Concept,
)

# "a red car in a meadow at night"; "red car, meadow, night"; "red car meadow night"
FORMS = ("sentence", "tags", "short")
PREFIXES = ("a picture of", "a drawing of", "picture of", "an image of", "a painting of")
JOINS = ("and", "and", "and", "next to", "with", "beside")
_LEAD = re.compile(
    r"^(in front of|in|on|at|by|during|among|under|with)( the| an?| thick| falling)?\s+"
)
_CANONICAL = 0.6  # share of a concept's first wording (our choice)


@dataclass(frozen=True)
class Voice:
    """How someone writes.  `seed` fixes the words, the other fields the shape of the prompt."""

    seed: int
    form: str = "sentence"
    article: bool = True
    prefix: str = ""
    capital: bool = False
    full_stop: bool = False
    canonical: bool = False  # always the first wording of a concept
    join: str = "and"  # between two groups

    def choose(self, concept: Concept, *, phrase: bool = False, plural: bool = False) -> str:
        """The voice's word for a concept; the same word whenever it is asked again."""
        words = concept.phrases if phrase else concept.words
        pick = rng(self.seed, f"{concept.name}{'/phrase' if phrase else ''}")
        if self.canonical or pick.random() < _CANONICAL:
            index = 0
        else:
            index = pick.randrange(len(words))
        return concept.plurals[index] if plural else words[index]


@dataclass(frozen=True)
class Worded:
    """A prompt, and for each thing that it says the phrase that says it.

    `units` maps a slot (`group:car`, `place`, `time`, `weather`, `finish:neon glow`, `flaw:dull`)
    to its content unit, which stands literally in `text` up to capitals.
    """

    text: str
    units: dict[str, str]


def noun_phrase(voice: Voice, group: Group, *, article: bool) -> tuple[str, str]:
    """(phrase, unit) of a group: ("a red car", "red car")."""
    noun = voice.choose(KINDS[group.kind], plural=group.count > 1)
    colour = voice.choose(COLOURS[group.colour]) if group.colour else ""
    body = f"{colour} {noun}".strip()
    count = voice.choose(COUNTS[group.count])
    if group.count > 1:
        return f"{count} {body}", f"{count} {body}".removeprefix("a ")
    if voice.form == "sentence" and count:
        return f"{count} {body}", body
    return (f"{indefinite(body)} {body}" if article else body), body


def indefinite(phrase: str) -> str:
    """The article that fits the phrase."""
    return "an" if phrase[0] in "aeiou" else "a"


def content_of(phrase: str) -> str:
    """The unit in a phrase of place, time or weather: "in front of mountains" → "mountains"."""
    return _LEAD.sub("", phrase)


def say(scene: Scene, voice: Voice) -> Worded:
    """The scene in this voice: what it leaves unsaid stays unsaid."""
    units: dict[str, str] = {}
    groups = []
    for group in scene.groups:
        phrase, unit = noun_phrase(voice, group, article=voice.article)
        units[f"group:{group.kind}"] = unit
        groups.append(phrase)
    surroundings = []
    for slot, value, table in _surroundings(scene):
        concept = table[value]
        as_phrase = voice.form == "sentence"
        word = voice.choose(concept, phrase=as_phrase)
        units[slot] = content_of(word) if as_phrase else word
        surroundings.append(word)
    tags = []
    for slot, table, names in (("finish", FINISHES, scene.finishes), ("flaw", FLAWS, scene.flaws)):
        for name in names:
            word = voice.choose(table[name])
            units[f"{slot}:{name}"] = word
            tags.append(word)
    return Worded(_assemble(voice, groups, surroundings, tags), units)


def _surroundings(scene: Scene) -> list[tuple[str, str, dict[str, Concept]]]:
    said = []
    if scene.place:
        said.append(("place", scene.place, PLACES))
    if scene.time:
        said.append(("time", scene.time, TIMES))
    if scene.weather != "clear":
        said.append(("weather", scene.weather, WEATHERS))
    return said


def _assemble(
    voice: Voice, groups: list[str], surroundings: list[str], tags: list[str]
) -> str:  # fmt: skip
    if voice.form == "sentence":
        subject = f" {voice.join} ".join(groups)
        if voice.prefix:
            subject = f"{voice.prefix} {subject}"
        text = ", ".join([" ".join([subject, *surroundings]), *tags])
    elif voice.form == "tags":
        text = ", ".join([*groups, *surroundings, *tags])
    else:
        text = ", ".join([" ".join([" ".join(groups), *surroundings]), *tags])
    if voice.capital:
        text = text[0].upper() + text[1:]
    return text + "." if voice.full_stop and not tags else text


def sample_voice(generator: random.Random) -> Voice:
    """A way of writing, in shares of our choice: mostly plain sentences without capitals."""
    form = generator.choices(FORMS, (0.68, 0.22, 0.1))[0]
    sentence = form == "sentence"
    return Voice(
        seed=generator.getrandbits(48),
        form=form,
        article=sentence and generator.random() < 0.75,
        prefix=generator.choice(PREFIXES) if sentence and generator.random() < 0.08 else "",
        capital=generator.random() < 0.08,
        join=generator.choice(JOINS) if sentence else "and",
    )


def sample_raw_scene(
    generator: random.Random, *, unseen: bool | None = False, rich: bool = False
) -> Scene:
    """What people ask for in few words: much is left unsaid, hardly anyone names a finish.

    `rich` says nearly everything (for prompts that compound edits can work on).
    """
    while True:
        scene = sample_scene(
            generator,
            two_groups=0.6 if rich else 0.35,
            unsaid=0.08 if rich else 0.36,
            weather=0.25 if rich else 0.12,
            finish=0.0,
            flaw=0.25 if rich else 0.06,
            unseen=unseen,
        )
        if generator.random() < 0.1:
            scene = replace(scene, finishes=(generator.choice(list(FINISHES)),))
        if unseen is not False or not is_unseen_combination(resolve(scene, 0)):
            return scene


def sample_raw_prompt(
    generator: random.Random, *, unseen: bool | None = False, rich: bool = False
) -> tuple[str, Scene]:
    """A raw prompt as short and plain as people write it, and the scene it says."""
    scene = sample_raw_scene(generator, unseen=unseen, rich=rich)
    return say(scene, sample_voice(generator)).text, scene


INTENT_VOICE = Voice(seed=0, canonical=True, capital=True, full_stop=True)


def intent_of(scene: Scene) -> str:
    """A style-free sentence for the wanted picture: content in canonical words, no finish."""
    return say(scene.plain(), INTENT_VOICE).text


def raw_prompts(count: int, seed: int, *, unseen: bool = False) -> list[str]:
    """`count` distinct raw prompts of at least three words (shorter ones have no clear language).

    Deterministic by seed.
    """
    generator = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < count:
        text, _ = sample_raw_prompt(generator, unseen=unseen)
        if len(text.split()) >= 3:
            found.setdefault(text)
    return list(found)


def _main() -> None:
    parser = argparse.ArgumentParser(description="Write distinct raw prompts of the world.")
    parser.add_argument("count", type=int, nargs="?", default=1500)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--unseen", action="store_true", help="only held-out combinations")
    arguments = parser.parse_args()
    for text in raw_prompts(arguments.count, arguments.seed, unseen=arguments.unseen):
        print(text)


if __name__ == "__main__":
    _main()
