"""Rows of a dataset version as questions to a policy: no answers, no tokens."""

from collections.abc import Iterable, Mapping

from models.train.data import Row, turns_before
from models.train.rollout import Question
from schemas.chat import messages_of
from schemas.units import Unit


def questions_of(rows: Iterable[Row], parents: Mapping[str, Row]) -> list[Question]:
    """One question a row of `published_rows`; `parents` maps triple ids to rows."""
    return [_question(row, parents) for row in rows]


def _question(row: Row, parents: Mapping[str, Row]) -> Question:
    first, history = turns_before(row, parents)
    return Question(
        question_id=row["triple_id"],
        raw_prompt=row["raw_prompt"],
        instruction=row["instruction"],
        intent=row["intent"],
        units=tuple(Unit(unit["role"], unit["text"]) for unit in row["units"]),
        messages=tuple(messages_of(first, row["instruction"], history)),
        edit_kind=row["edit_kind"],
    )
