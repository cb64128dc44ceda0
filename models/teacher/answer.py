"""The structured answer of a teacher: its JSON schema, and the models that read it.

The schema goes to the endpoint as a strict `response_format` and is written out here by hand: it is
part of what a call's id is made of, and one derived by pydantic would change with a docstring.
Leaves out whether a proposal is any good: `models.teacher.rules` says that.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from schemas.units import EditKind, Unit

MOST_PROPOSALS = 32  # twice what can be asked for


class Proposal(BaseModel):
    """One edit of the subject prompt; units are phrases such as "blue car", never "blue" alone."""

    model_config = ConfigDict(extra="forbid")

    kind: EditKind
    instruction: str
    target_prompt: str
    intent: str  # a style-free sentence for the wanted picture
    keep: list[str]  # in the prompt and in the target
    add: list[str]  # in the target only
    remove: list[str]  # in the prompt only

    def units(self) -> list[Unit]:
        """All units with their roles, in the order given."""
        found = [Unit("keep", text) for text in self.keep]
        found += [Unit("add", text) for text in self.add]
        return found + [Unit("remove", text) for text in self.remove]


class Answer(BaseModel):
    """What a call of the recipe `teacher` answers: edits of the prompt, in the order asked."""

    model_config = ConfigDict(extra="forbid")

    # Not in the JSON schema: strict mode of some endpoints refuses bounds.
    proposals: list[Proposal] = Field(min_length=1, max_length=MOST_PROPOSALS)


class Pair(Proposal):
    """An edit triple, both captions beautified: `raw_prompt` takes the place of the caption."""

    raw_prompt: str


class Pairs(BaseModel):
    """What a call of the recipe `beautify` answers: exactly one pair."""

    model_config = ConfigDict(extra="forbid")

    proposals: list[Pair] = Field(min_length=1, max_length=1)


TEXTS = ("instruction", "target_prompt", "intent")
UNITS = ("keep", "add", "remove")


def response_format(kinds: Sequence[EditKind], *, pair: bool = False) -> dict[str, Any]:
    """`response_format` of a chat completion: a strict schema, every field required.

    `kinds` are those that may be answered; `pair` asks for `raw_prompt` too (class `Pairs`).
    """
    fields: dict[str, Any] = {"kind": {"type": "string", "enum": [kind.value for kind in kinds]}}
    if pair:
        fields["raw_prompt"] = {"type": "string"}
    fields |= {name: {"type": "string"} for name in TEXTS}
    fields |= {name: {"type": "array", "items": {"type": "string"}} for name in UNITS}
    proposals = {"type": "array", "items": _object(fields)}
    schema = _object({"proposals": proposals})
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": schema},
    }


def _object(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": fields,
        "required": list(fields),
        "additionalProperties": False,
    }
