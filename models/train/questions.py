"""Rows of a dataset version as questions to a policy: no answers, no tokens."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from models.train.data import Row, turns_before
from models.train.rollout import Question
from models.train.template import encode_prompt
from schemas.chat import messages_of
from schemas.errors import SourceError
from schemas.units import Unit


def questions_of(rows: Iterable[Row], parents: Mapping[str, Row]) -> list[Question]:
    """One question a row of `published_rows`; `parents` maps triple ids to rows.

    Raises SourceError for a row without an intent.
    """
    return [_question(row, parents) for row in rows]


class Fitting(NamedTuple):
    """The questions that can be asked, and how many cannot, by reason."""

    questions: list[Question]
    left_out: dict[str, int]


def fitting(
    questions: Iterable[Question], policy: Any, longest: int, count_tokens: Callable[[str], int],
    token_budget: int,
) -> Fitting:  # fmt: skip
    """Without questions that leave no room for an answer in the student's context, and those whose
    raw prompt is too long to be rendered: a reward is a gain over its picture.

    `longest`: tokens of an answer; `count_tokens`, `token_budget`: of the text-to-image model.
    """
    found = Fitting([], {"context": 0, "token_budget": 0})
    for question in questions:
        if policy.context is not None and _length(question, policy) + longest > policy.context:
            found.left_out["context"] += 1
        elif count_tokens(question.raw_prompt) > token_budget:
            found.left_out["token_budget"] += 1
        else:
            found.questions.append(question)
    return found


def _length(question: Question, policy: Any) -> int:
    return len(encode_prompt(policy.tokenizer, list(question.messages)))


def _question(row: Row, parents: Mapping[str, Row]) -> Question:
    if row["intent"] is None:
        raise SourceError(
            f"The row of triple {row['triple_id']!r} has no intent, which is what pictures are "
            "judged by: fill it in (what the picture should show), or leave the row out."
        )
    first, history = turns_before(row, parents)
    return Question(
        question_id=row["triple_id"],
        raw_prompt=row["raw_prompt"],
        instruction=row["instruction"],
        intent=row["intent"],
        units=tuple(Unit(unit["role"], unit["text"]) for unit in row["units"] or ()),
        messages=tuple(messages_of(first, row["instruction"], history)),
        edit_kind=row["edit_kind"],
    )
