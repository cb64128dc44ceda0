"""What an instruction asks for, by pattern: a list of wishes ("remove the dog": remove, "dog").

Reads English as people type it to a picture generator: polite or curt, one clause or several.
Leaves out which phrase of the prompt is meant: `models.integrity.extract` finds that.
"""

import re
from typing import Literal, NamedTuple

Verb = Literal[
    "add", "remove", "replace", "describe", "place", "time", "only", "swap", "style", "nothing"
]


class Wish(NamedTuple):
    """`what` is the phrase that is there ("" if none is named), `new` the one that is asked for."""

    verb: Verb
    what: str = ""
    new: str = ""


_POLITE = re.compile(
    r"^(?:(?:please|now|also|and|just|then|next|hey|ok|okay|good|nice|great|perfect|fine|better|hmm|"
    r"thanks|but|let's|lets|almost there|almost|one more thing|love it|keep that and|"
    r"(?:can|could|would|will) you(?: please| now)?|"
    r"i(?:'d| would)? (?:like|want|love) you to|i want you to|you could|you should|maybe|"
    r"how about|what about|what if)\b[,.:;!]*\s*)+",
)
_TAIL = re.compile(
    r"[\s,]*(?:\b(?:please|thanks|thank you|too|as well|instead|in there|in it|for me|now|"
    r"as the next step|would be nicer|would be better|would be nice)\b)?[\s?.!]*$"
)
_VERBS = (
    r"add|remove|delete|erase|take|get rid of|drop|lose|cut|leave|omit|skip|replace|swap|"
    r"turn|change|make|paint|colou?r|recolou?r|dye|give|put|place|set|show|draw|include|insert|throw|bring|use|"
    r"move|let|have|render|apply|work|keep|forget|stop|switch|exchange|substitute|convert|dress|"
    r"light|bathe|frame|redo|restyle|do"
)
_SPLIT = re.compile(
    rf"\s*;\s*|\s*,?\s*\b(?:and then|then|and also|and|but)\s+(?=(?:{_VERBS})\b)"
    rf"|\s*,\s*(?=(?:also\s+)?(?:{_VERBS})\b)"
)
_THE = r"(?:the |a |an |his |her |their |its |this |that |these |those |all |any |some )?"
# Said of a picture as a whole, so there is nothing to add.
_VAGUE = re.compile(
    r"^(?:(?:make|turn) (?:it|this|the (?:picture|image))(?: look)?"
    r"(?: (?:a (?:bit|little)|much|way))? (?:into |a |something |to )?(?:more |less |better|"
    r"prettier|nicer|beautiful|beautifully|pretty|nice|pop|shine|stunning|amazing|gorgeous|"
    r"professional|finished|masterpiece|worth|i would|impressive|appealing|boring|exciting|good|"
    r"great|cool|epic)|beautify|improve|enhance|polish|refine|touch it up|spruce|upgrade|prettier|"
    r"better(?: picture| please|$)|more (?:beautiful|details?|quality|detailed)|it looks|looks|"
    r"it could look|this is too|surprise me|same but|higher quality|work on the look|"
    r"give it more polish|i want it more beautiful|i'd like a prettier|just make it better|"
    r"take it to the next|needs more quality|add some beauty|it needs to look)",
)
_TIMES = (
    r"(?:early |late |bright )?(?:night|day|sunset|sunrise|dusk|dawn|noon|midnight|morning|"
    r"evening|afternoon|daytime|nighttime|daylight|twilight|winter|summer|autumn|spring|fall)"
)
_COLOUR = (
    r"(?:dark |light |pale |bright |matte |golden |rose-|snow-|deep )?"
    r"(?:red|orange|yellow|green|blue|purple|pink|white|black|brown|gr[ae]y|gold|golden|silver|turquoise|crimson|scarlet|emerald|azure|violet|teal|"
    r"colored|coloured)"
)
_PATTERNS: tuple[tuple[str, Verb, str, str], ...] = (
    # pattern, verb, group of what, group of new ("" none)
    (r"(?:replace|exchange|substitute|swap|trade) (?P<a>.+?) (?:with|for|by|to) (?P<b>.+)",
     "replace", "a", "b"),
    (r"(?:swap|switch) (?P<a>.+?) and (?P<b>.+)", "swap", "", ""),
    (r"(?:use|show|draw|have|put|make|i (?:want|need|would like)|i'd like|want|give me)? ?"
     r"(?P<b>.+?) (?:instead of|in place of|rather than|where) (?P<a>.+?)(?: is| are)?",
     "replace", "a", "b"),
    (r"i(?:'d| would) prefer (?P<b>.+?) (?:over|to) (?P<a>.+)", "replace", "a", "b"),
    (r"rather (?P<b>.+?) than (?P<a>.+)", "replace", "a", "b"),
    (r"not (?P<a>.+?) but (?P<b>.+)", "replace", "a", "b"),
    (r"(?P<b>.+?), not (?:just |only )?(?P<a>.+)", "replace", "a", "b"),
    (r"(?:keep|show|leave)? ?(?:only|just) (?P<a>.+?)(?:,? nothing else)?", "only", "a", ""),
    (r"(?:i (?:do not|don't|dont) (?:want|need|like)|i'd rather not see|"
     r"do(?: it)? without|forget(?: about)?|stop|no more|without|"
     r"remove|delete|erase|take out|take away|get rid of|drop|lose|cut|leave out|omit|skip|"
     r"eliminate|clear[e]?(?: away)?|no|not) "
     r"(?P<a>.+?)(?: in the background| from the (?:picture|scene|image)| in it| away| out| part|"
     r" bit)?",
     "remove", "a", ""),
    (r"(?:take|leave|cut) (?P<a>.+?) (?:out|away|off)", "remove", "a", ""),
    (r"(?P<a>.+?) (?:has to go|have to go|must go|can go|isn't needed|is not needed|aren't needed|"
     r"should (?:go|disappear|be gone))", "remove", "a", ""),
    (r"(?:there should be|there must be) no (?P<a>.+)", "remove", "a", ""),
    (r"(?:it must not be|it should not be|it shouldn't be|don't make it|stop it being|"
     r"fix that it is|don't place it|it doesn't have to be) (?P<a>.+)", "remove", "a", ""),
    (r"(?:change|set|switch) (?:the )?(?:colou?r of )(?P<a>.+?) (?:to|into) (?P<b>.+)",
     "describe", "a", "b"),
    (r"give (?P<a>.+?) the colou?r (?P<b>.+)", "describe", "a", "b"),
    (r"use (?P<b>\w+) for (?P<a>.+)", "describe", "a", "b"),
    (rf"(?P<b>{_COLOUR}) would look better on (?P<a>.+)", "describe", "a", "b"),
    (rf"(?:paint|colou?r|recolou?r|dye|tint|turn|make|show|have|i want) (?P<a>.+?) (?:in )?"
     rf"(?P<b>{_COLOUR})", "describe", "a", "b"),
    (r"(?:change|set|use|switch)(?: the)? (?:time(?: of day)?|light|lighting) ?(?:to|:) (?P<b>.+)",
     "time", "", "b"),
    (r"(?:make|turn|let|set|show|render|have|move) (?:it|this|that|the scene)(?: be| happen| in)?"
     rf"(?: to| into| at| in| during| by)?(?: the)? (?P<b>{_TIMES})", "time", "", "b"),
    (rf"(?:it should be |better |i want it |i'd like it |what would it look like |"
     rf"how would it look )?(?:at|in|during|by) (?:the )?(?P<b>{_TIMES})", "time", "", "b"),
    (rf"(?:it should be )?(?P<b>{_TIMES})", "time", "", "b"),
    (r"(?:change|switch)(?: the)? (?:style|medium|look|art style)(?: from .+?)? ?"
     r"(?:to|into|:) (?P<b>.+)",
     "style", "", "b"),
    (r"style: (?P<b>.+)", "style", "", "b"),
    (r"(?:make|render|redo|draw|do|show|turn|restyle|have) (?:it|this)(?: look)? "
     r"(?:as|like|into|in) (?P<b>(?:an? |the )?.*"
     r"\b(?:painting|drawing|sketch|photo|photograph|style|art|render|"
     r"illustration|watercolor|cartoon|anime|print|engraving|mosaic|window|panel|poster))",
     "style", "", "b"),
    (r"(?:make|turn) (?:it|this) (?:into )?"
     r"(?P<b>(?:an? )?.*\b(?:painting|drawing|sketch|photo|photograph|"
     r"style|art|render|illustration|watercolor|cartoon|anime|print|mosaic|poster|panel))",
     "style", "", "b"),
    (r"(?:as|in the style of|in) (?P<b>.*\b(?:painting|drawing|sketch|photo|style|art|render|print|"
     r"illustration|watercolor|mosaic|claymation|anime))", "style", "", "b"),
    (r"(?:change|set|move|switch|make|use)(?: the)? (?:place|background|setting|scene|location)"
     r"(?: to| into|:| be)?(?: in| on| at)? (?P<b>.+)", "place", "", "b"),
    (r"use (?P<b>.+?) as (?:the|a) (?:background|setting|place)", "place", "", "b"),
    (r"(?:background|location|setting|place)(?: should be|:) (?P<b>.+)", "place", "", "b"),
    (r"(?:put|set|show|place|move|let|have|take|relocate|i want|it should be|what if it were|make) "
     r"(?:it|this|him|her|them|everything|the scene|(?:the )?\w+)"
     r"(?: be| take place| happen| outside,?| inside,?)?"
     r"(?: in| on| at| to| into| among| under| by| onto)+ (?P<b>.+)", "place", "", "b"),
    (r"(?:in|on|at|among) (?P<b>.+)", "place", "", "b"),
    (r"(?:turn|change|convert|transform) (?P<a>.+?) (?:into|to) (?P<b>.+)", "replace", "a", "b"),
    (r"make (?P<a>.+?) (?P<b>an? .+)", "replace", "a", "b"),
    (r"(?P<a>.+?) should be (?P<b>an? .+)", "replace", "a", "b"),
    (r"(?P<a>.+?) should be (?:made of )?(?P<b>.+)", "describe", "a", "b"),
    (r"could (?P<a>.+?) be (?P<b>.+)", "describe", "a", "b"),
    (r"(?:make|let|have)(?: (?:it|that))(?: be)? (?P<b>.+)", "describe", "", "b"),
    (r"(?:make|let|have|turn) (?P<a>.+?) (?:be |look )?(?P<b>[\w-]+(?: and [\w-]+)?)", "describe",
     "a", "b"),
    (r"(?:give|dress) (?P<a>\w+|(?:the|his|her) .+?) (?:in )?"
     r"(?P<b>(?:an? |some |more )?[\w-]+(?: [\w-]+){0,3})", "add", "", "b"),
    (r"(?P<a>.+?) should (?:wear|have|hold) (?P<b>.+)", "add", "", "b"),
    (r"(?:let there be|there should be|i want|i'd like(?: to see)?|i'd love to see|i would like|"
     r"add|include|insert|put in|throw in|draw|show|bring in|apply|use|go for|work in|put|place|"
     r"with|plus|needs|it needs|it should have|it could use|more|some|weather:|lighting:|framing:|"
     r"have|switch to|try|light it with|bathe it in|finish it with|render it with|show it with|"
     r"frame it with|compose it with|and)"
     r"(?: some| more)? (?P<b>.+)", "add", "", "b"),
)  # fmt: skip
_COMPILED: list[tuple[re.Pattern[str], Verb, str, str]] = [
    (re.compile(rf"^{pattern}$"), verb, a, b) for pattern, verb, a, b in _PATTERNS
]


def wishes_of(instruction: str) -> list[Wish]:
    """The wishes of an instruction, in order; `nothing` for one that names nothing."""
    text = re.sub(r"\s+", " ", instruction.lower().replace("’", "'")).strip(" .!?")
    text = _TAIL.sub("", _POLITE.sub("", text)).strip()
    if not text or _VAGUE.match(text):
        return [Wish("nothing")]
    found = []
    for clause in _SPLIT.split(text):
        clause = _TAIL.sub("", _POLITE.sub("", clause.strip(" ,"))).strip(" ,")
        if clause:
            found += _wish(clause)
    return found or [Wish("nothing")]


def _wish(clause: str) -> list[Wish]:
    if _VAGUE.match(clause):
        return [Wish("nothing")]
    for pattern, verb, a, b in _COMPILED:
        match = pattern.match(clause)
        if match:
            what = (match.group(a) or "").strip(" ,") if a else ""
            new = (match.group(b) or "").strip(" ,") if b else ""
            return [Wish(verb, what, new)]
    return [Wish("add", "", clause)]
