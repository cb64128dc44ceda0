"""What an edit does to a scene, and which templates ask for it.

Each function takes a scene, the voice it is said in and a generator, and returns a `Change`, or
None where the scene leaves nothing to change.  `models.world.edits` makes examples of them.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from models.world import phrasings
from models.world.grammar import Voice, content_of, indefinite, noun_phrase, say
from models.world.scene import MAX_OBJECTS, Group, Scene
from models.world.vocabulary import (
    COLOURS,
    FINISHES,
    KINDS,
    PLACES,
    TIMES,
    WEATHERS,
    Concept,
)
from schemas.units import EditKind

_PREPOSITION = re.compile(r"^(in front of|in|on|at|by|among|with)\s+")


@dataclass(frozen=True)
class Change:
    """The scene after one edit, the templates that ask for it, and what fills them."""

    after: Scene
    templates: tuple[str, ...]
    fields: dict[str, str]
    touches: str  # two changes of one compound must not touch the same thing


Edit = Callable[[Scene, Voice, random.Random], Change | None]


def _the(group: Group, voice: Voice, generator: random.Random) -> str:
    """How the group is referred to: with its colour or, half the time, without."""
    noun = voice.choose(KINDS[group.kind], plural=group.count > 1)
    if group.colour and generator.random() < 0.5:
        return f"the {voice.choose(COLOURS[group.colour])} {noun}"
    return f"the {noun}"


def _a(group: Group, voice: Voice) -> str:
    phrase, unit = noun_phrase(voice, group, article=True)
    return f"{indefinite(unit)} {unit}" if phrase == unit and group.count == 1 else phrase


def _pick(generator: random.Random, table: dict, *taken: str | None) -> str:
    return generator.choice([name for name in table if name not in taken])


def _with_group(scene: Scene, index: int, group: Group) -> Scene:
    groups = list(scene.groups)
    groups[index] = group
    return replace(scene, groups=tuple(groups))


def add_group(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """A second group of another kind, to the right of the first."""
    first, *others = scene.groups
    if others:
        return None
    room = MAX_OBJECTS - first.count
    if room < 1:
        return None
    colour = _pick(g, COLOURS, first.colour) if g.random() < 0.75 else None
    new = Group(_pick(g, KINDS, first.kind), colour, g.choice((1, 1, room)))
    fields = {"new": _a(new, voice), "the": _the(first, voice, g)}
    return Change(
        replace(scene, groups=(first, new)), phrasings.ADD_GROUP, fields, f"group:{new.kind}"
    )


def remove_group(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """One of two groups goes."""
    if len(scene.groups) < 2:
        return None
    gone = g.randrange(2)
    out, stays = scene.groups[gone], scene.groups[1 - gone]
    fields = {
        "the": _the(out, voice, g),
        "other": _the(stays, voice, g),
        "bare": voice.choose(KINDS[out.kind], plural=out.count > 1),
    }
    after = replace(scene, groups=(stays,))
    return Change(after, phrasings.REMOVE_GROUP, fields, f"group:{out.kind}")


def replace_kind(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Another kind of thing in the same colour and number."""
    index = g.randrange(len(scene.groups))
    old = scene.groups[index]
    new = replace(old, kind=_pick(g, KINDS, *(group.kind for group in scene.groups)))
    fields = {"the": _the(old, voice, g), "new": _a(new, voice)}
    after = _with_group(scene, index, new)
    return Change(after, phrasings.REPLACE_KIND, fields, f"group:{old.kind}")


def colour_group(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Another colour, or one where none was said."""
    index = g.randrange(len(scene.groups))
    old = scene.groups[index]
    name = _pick(g, COLOURS, *(group.colour for group in scene.groups))
    fields = {"the": _the(old, voice, g), "colour": voice.choose(COLOURS[name])}
    after = _with_group(scene, index, replace(old, colour=name))
    return Change(after, phrasings.COLOUR, fields, f"group:{old.kind}")


def count_group(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """More, or three to two; never down to one, whose phrase is part of the old one."""
    old, *others = scene.groups
    if others:
        return None
    new = replace(old, count=g.choice([n for n in (2, 3) if n != old.count]))
    fields = {"old": _a(old, voice), "new": _a(new, voice)}
    return Change(_with_group(scene, 0, new), phrasings.COUNT, fields, f"group:{old.kind}")


def swap_sides(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """The right group goes left."""
    if len(scene.groups) < 2:
        return None
    left, right = scene.groups
    fields = {"the": _the(right, voice, g), "other": _the(left, voice, g)}
    after = replace(scene, groups=(right, left))
    return Change(after, phrasings.SWAP_SIDES, fields, "sides")


def _whereabouts(voice: Voice, concept: Concept, key: str) -> dict[str, str]:
    """`{bare}` and, where this voice uses phrases, `{where}` or `{when}`."""
    if voice.form != "sentence":
        return {"bare": voice.choose(concept)}
    phrase = voice.choose(concept, phrase=True)
    return {key: phrase, "bare": _PREPOSITION.sub("", phrase)}


def change_place(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Another place, or one where none was said."""
    name = _pick(g, PLACES, scene.place)
    fields = _whereabouts(voice, PLACES[name], "where")
    fields["the"] = _the(scene.groups[0], voice, g)
    return Change(replace(scene, place=name), phrasings.PLACE, fields, "place")


def drop_place(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """The place is no longer said."""
    if scene.place is None:
        return None
    fields = _whereabouts(voice, PLACES[scene.place], "where")
    fields["bare"] = content_of(fields.get("where", fields["bare"]))
    return Change(replace(scene, place=None), phrasings.PLACE_GONE, fields, "place")


def change_time(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Another time of day, or one where none was said."""
    name = _pick(g, TIMES, scene.time)
    fields = _whereabouts(voice, TIMES[name], "when")
    fields["bare"] = content_of(fields.get("when", fields["bare"]))
    return Change(replace(scene, time=name), phrasings.TIME, fields, "time")


def add_weather(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Rain, snow or fog, or another of them."""
    name = _pick(g, WEATHERS, scene.weather, "clear")
    fields = _whereabouts(voice, WEATHERS[name], "where")
    fields["bare"] = content_of(fields.get("where", fields["bare"]))
    return Change(replace(scene, weather=name), phrasings.WEATHER, fields, "weather")


def drop_weather(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Rain, snow or fog stops."""
    if scene.weather == "clear":
        return None
    fields = _whereabouts(voice, WEATHERS[scene.weather], "where")
    bare = content_of(fields.get("where", fields["bare"])).removesuffix(" falling")
    after = replace(scene, weather="clear")
    return Change(after, phrasings.WEATHER_GONE, {"bare": bare}, "weather")


def finish(names: tuple[str, ...]) -> Edit:
    """Adds one of these finish words."""

    def edit(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
        free = [name for name in names if name not in scene.finishes]
        if not free:
            return None
        name = g.choice(free)
        tag = voice.choose(FINISHES[name])
        adjective = tag.endswith("detailed")
        templates = phrasings.FINISH_ADJECTIVE if adjective else phrasings.FINISH
        after = replace(scene, finishes=(*scene.finishes, name))
        return Change(after, templates, {"tag": tag}, f"finish:{name}")

    return edit


def drop_tag(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """A finish or flaw word goes, flaws first."""
    slots = [f"flaw:{f}" for f in scene.flaws] or [f"finish:{f}" for f in scene.finishes]
    if not slots:
        return None
    slot = g.choice(slots)
    tag, name = say(scene, voice).units[slot], slot.partition(":")[2]
    after = replace(
        scene,
        finishes=tuple(f for f in scene.finishes if slot != f"finish:{f}"),
        flaws=tuple(f for f in scene.flaws if slot != f"flaw:{f}"),
    )
    templates = phrasings.FLAW_GONE if name in scene.flaws else phrasings.FINISH_GONE
    return Change(after, templates, {"tag": tag}, slot)


def beautify(scene: Scene, voice: Voice, g: random.Random) -> Change | None:
    """Two to four finish words, picked blind to the scene; flaws go."""
    free = [name for name in FINISHES if name not in scene.finishes]
    chosen = g.sample(free, min(len(free), g.choice((2, 3, 3, 4))))
    after = replace(scene, finishes=(*scene.finishes, *chosen), flaws=())
    return Change(after, phrasings.BEAUTIFY, {}, "finish")


EDITS: dict[EditKind, tuple[Edit, ...]] = {
    EditKind.ADD: (add_group, add_group, add_weather),
    EditKind.REMOVE: (remove_group, remove_group, drop_weather, drop_tag, drop_place),
    EditKind.REPLACE: (replace_kind, replace_kind, change_place),
    EditKind.ATTRIBUTE: (colour_group, colour_group, count_group),
    EditKind.STYLE: (finish(phrasings.STYLE_FINISHES),),
    EditKind.LIGHTING: (change_time, finish(phrasings.LIGHTING_FINISHES)),
    EditKind.COMPOSITION: (swap_sides, finish(phrasings.COMPOSITION_FINISHES)),
    EditKind.BEAUTIFY: (beautify,),
}
PARTS = (add_group, add_weather, remove_group, drop_weather, drop_tag, replace_kind, change_place,
          colour_group, count_group, change_time, finish(phrasings.STYLE_FINISHES))  # fmt: skip
# On the hard split most parts take something away, so that copying the prompt cannot score.
HARD_PARTS = (remove_group, drop_weather, drop_tag, replace_kind, replace_kind, change_place,
               colour_group, colour_group, count_group, change_time, add_group)  # fmt: skip
