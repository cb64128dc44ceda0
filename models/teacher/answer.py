"""The structured answer of a teacher, and the triples read from it.

One pydantic schema, sent to the endpoint as a strict JSON schema and used to read what comes back.
Leaves out whether a proposal is any good: `models.teacher.rules` says that.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict

from schemas.units import EditKind, Unit


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
    """What one call answers."""

    model_config = ConfigDict(extra="forbid")

    proposals: list[Proposal]


def response_format() -> dict[str, Any]:
    """`response_format` of a chat completion: a strict schema, every field required."""
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": Answer.model_json_schema()},
    }
