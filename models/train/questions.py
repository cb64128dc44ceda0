"""Rows of a dataset version as questions in the student's chat format.

A first turn asks about its raw prompt; a follow-up carries the turns before it, as far as the
version holds them (a parent that was not accepted leaves a conversation that begins with the
earlier target).  Leaves out tokens and answers.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from models.train.rollout import Question
from schemas.chat import Turn, messages_of
from schemas.units import Unit

Row = Mapping[str, Any]


def questions_of(rows: Iterable[Row], version: Iterable[Row] | None = None) -> list[Question]:
    """One question a row of `published_rows`; `version` holds the rows where parents are looked up
    (default: the rows themselves)."""
    rows = list(rows)
    by_id = {row["triple_id"]: row for row in (rows if version is None else version)}
    return [question_of(row, by_id) for row in rows]


def question_of(row: Row, by_id: Mapping[str, Row]) -> Question:
    first, history = turns_before(row, by_id)
    return Question(
        question_id=row["triple_id"],
        raw_prompt=row["raw_prompt"],
        instruction=row["instruction"],
        intent=row["intent"],
        units=tuple(Unit(unit["role"], unit["text"]) for unit in row["units"]),
        messages=tuple(messages_of(first, row["instruction"], history)),
    )


def turns_before(row: Row, by_id: Mapping[str, Row]) -> tuple[str, list[Turn]]:
    """(first prompt of the conversation, turns before `row`, oldest first)."""
    turns: list[Turn] = []
    parent = by_id.get(row["parent_triple_id"] or "")
    while parent is not None:
        turns.append(Turn(parent["instruction"], parent["target_prompt"]))
        row, parent = parent, by_id.get(parent["parent_triple_id"] or "")
    return row["raw_prompt"], turns[::-1]
