"""The kind of an edit, read off the words of its instruction.

For imported triples, which carry no kind.  The first rule that matches decides; ours, by reading
instructions of InstructPix2Pix.  Left out: parsing; an instruction that no rule knows is an
attribute edit, the commonest kind in those sets.
"""

import re

from schemas.units import EditKind

_COLOURS = (
    r"(red|orange|yellow|green|blue|purple|violet|pink|brown|black|white|gr[ae]y|gold(en)?|silver"
    r"|colou?r(ed|ful)?)"
)
_RULES: tuple[tuple[EditKind, str], ...] = (
    (
        EditKind.REMOVE,
        r"\b(remove|delete|erase|get rid|take (away|out|off)|eliminate|without|lose the)\b",
    ),
    (
        EditKind.BEAUTIFY,
        r"\b(beautif\w+|enhance|improve|more (detail\w*|beautiful|realistic)|better|polish"
        r"|masterpiece)\b",
    ),
    (
        EditKind.STYLE,
        r"\b(style|painting|sketch|drawing|watercolou?r|cartoon|anime|photograph|photo|cubis\w+"
        r"|impressionis\w+|pixel art|comic|poster|sculpture|etching|by (van gogh|picasso|monet))\b",
    ),
    (
        EditKind.LIGHTING,
        r"\b(light(s|ing)?|night(time)?|daytime|sun(set|rise|ny|light)?|dawn|dusk|dark(er)?"
        r"|bright(er)?|shadows?|moonlight|glow\w*|foggy?|mist\w*)\b",
    ),
    (
        EditKind.COMPOSITION,
        r"\b(close[- ]?up|zoom|angle|wide[- ]shot|from (above|below|behind|the side)|background"
        r"|foreground|bird'?s[- ]eye|(portrait|landscape) view|crop|cent(re|er)|perspective)\b",
    ),
    (EditKind.ATTRIBUTE, rf"\b(make|turn|change|paint|colou?r|dye)\b.*\b{_COLOURS}\b"),
    (
        EditKind.REPLACE,
        r"\b(replace|swap|instead|substitute|exchange|(turn|change|transform|convert)\b.*"
        r"\b(to|into|with|for)|make (it|him|her|them|the \w+) an?|as an?)\b",
    ),
    (
        EditKind.ADD,
        r"\b(add|put|include|insert|give|place|let there be|have|with|wear(ing)?|surround)\b",
    ),
)
_COMPILED = tuple((kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _RULES)


def edit_kind_of(instruction: str) -> EditKind:
    """The kind of edit that an English instruction asks for."""
    for kind, pattern in _COMPILED:
        if pattern.search(instruction):
            return kind
    return EditKind.ATTRIBUTE
