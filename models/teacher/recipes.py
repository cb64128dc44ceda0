"""Recipes: what a teacher is asked, as canonical request bodies.

`teacher` asks for k edits of a raw prompt, balanced over the kinds; `beautify` (the paper's) takes
an edit triple and beautifies both captions alike.  A follow-up applies the `teacher` recipe to the
target of an earlier triple.  A body holds all that determines an answer and nothing else: no URL,
no key, no revision of this code, so the same question is never paid twice.

Leaves out sending (`client`) and reading answers (`answer`, `rules`).
"""

import json
import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from models.teacher.answer import response_format
from schemas.identity import content_id
from schemas.settings import TeacherSettings
from schemas.units import EditKind

# Settings that change what is asked; the others change only how fast and how dearly it is paid.
ASKED = (
    "model",
    "recipe",
    "kinds",
    "proposals",
    "temperature",
    "max_completion_tokens",
    "structured_output",
    "vocabulary",
)

SYSTEM = """\
You edit prompts for text-to-image models. The user sends JSON with a `prompt` and a list of \
`kinds`. For each kind, in that order, propose one edit of the prompt:
- instruction: what a person would ask for, in plain and varied words;
- kind: the kind asked for, or the nearest possible one;
- target_prompt: the edited prompt, complete and ready to use. Change what the instruction asks \
and nothing else. Carry over letter by letter: weights such as (word:1.2), BREAK, <lora:name:1>, \
[brackets], --flags and text in quotes;
- intent: one plain sentence that says what the picture shows, without any words of style;
- keep, add, remove: the content, as phrases such as "blue car", never "blue" alone. keep: in the \
prompt and in the target_prompt; add: in the target_prompt only; remove: in the prompt only.
Kinds: add, remove and replace something; attribute (color, size, material, number); style; \
lighting; composition; beautify (make it look better, content unchanged); compound (several edits \
at once); follow_up (a second wish for a prompt that was edited before)."""

BEAUTIFY = """\
You improve pairs of prompts for text-to-image models. The user sends JSON with a `prompt`, an \
`instruction` and the `target_prompt` that it leads to. Beautify both alike: append the same words \
of style to each and leave their content alone. Answer with one proposal of kind `beautify`: \
instruction as given; target_prompt the beautified target; intent, keep, add and remove as \
always."""

HINTS = "\n\nThe model draws these words best, so prefer them:\n"


class Recipe(NamedTuple):
    """A row of `recipes`, but for its time."""

    recipe_id: str
    kind: str
    settings: str  # canonical JSON


def recipe_of(settings: TeacherSettings) -> Recipe:
    """The recipe that the settings describe."""
    dumped = settings.model_dump(mode="json")
    asked = {name: dumped[name] for name in ASKED}
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    return Recipe(content_id("recipe", asked), settings.recipe, text)


def kinds_for(subject: str, settings: TeacherSettings) -> list[EditKind]:
    """k kinds for a subject, drawn by a hash of its text: balanced over many, the same for ever."""
    rng = random.Random(content_id("kinds", subject))
    choice = [kind for kind in settings.kinds if kind is not EditKind.FOLLOW_UP]
    rng.shuffle(choice)
    return [choice[i % len(choice)] for i in range(settings.proposals)]


def request_body(
    message: Mapping[str, Any], settings: TeacherSettings, system: str = SYSTEM
) -> dict[str, Any]:
    """The body of a chat completion; its canonical form decides the call's id."""
    if settings.vocabulary:
        words = [f"{name}: {', '.join(words)}" for name, words in settings.vocabulary.items()]
        system = system + HINTS + "\n".join(words)
    body: dict[str, Any] = {
        "model": settings.model,
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": json.dumps(message, ensure_ascii=False)},
        ],
        "max_completion_tokens": settings.max_completion_tokens,
        "response_format": response_format()
        if settings.structured_output == "json_schema"
        else {"type": "json_object"},
    }
    if settings.temperature is not None:
        body["temperature"] = settings.temperature
    return body


def teacher_body(subject: str, settings: TeacherSettings) -> dict[str, Any]:
    """Ask for k edits of a raw prompt."""
    kinds = [kind.value for kind in kinds_for(subject, settings)]
    return request_body({"prompt": subject, "kinds": kinds}, settings)


def follow_up_body(subject: str, settings: TeacherSettings) -> dict[str, Any]:
    """Ask for a second turn on the target of an earlier triple."""
    kinds = [EditKind.FOLLOW_UP.value]
    return request_body({"prompt": subject, "kinds": kinds}, settings)


def beautify_body(
    prompt: str, instruction: str, target_prompt: str, settings: TeacherSettings
) -> dict[str, Any]:
    """Ask for both captions of an edit triple to be beautified alike."""
    message = {"prompt": prompt, "instruction": instruction, "target_prompt": target_prompt}
    return request_body(message, settings, BEAUTIFY)
