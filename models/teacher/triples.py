"""From answers to triples: rows of `schemas.records.TRIPLES`, each with its rule violations.

Leaves out storage and the asking.  A follow-up's raw prompt is the target of the turn before.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from models.collect.minhash import triple_bands
from models.collect.normalise import normalise
from models.teacher.answer import Answer, Pair, Pairs
from models.teacher.rules import CountTokens, violations
from schemas.identity import split_of, triple_id
from schemas.records import TRIPLES

Row = Mapping[str, Any]


def triples_of(
    calls: Sequence[Row],
    parents: Mapping[str, str | None],
    created_at: datetime,
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
    *,
    pairs: bool = False,
) -> pa.Table:
    """The triples of answered calls (rows of TEACHER_CALLS with status ok).

    `parents` maps a call id to the triple whose target it edits, for second turns; `pairs`: the
    answers are of the recipe `beautify`.
    """
    schema = Pairs if pairs else Answer
    rows = [
        row | {"parent_triple_id": parents.get(row["call_id"])}
        for call in calls
        for row in _rows_of(call, created_at, count_tokens, token_budget, schema)
    ]
    for row in rows:
        row["turn"] = 2 if row["parent_triple_id"] else 1
    table = pa.Table.from_pylist(rows, schema=TRIPLES)
    bands = triple_bands(
        [str(row["instruction"]) for row in rows], [str(row["target_prompt"]) for row in rows]
    )
    place = TRIPLES.get_field_index("minhash")
    return table.set_column(place, TRIPLES.field(place), bands)


def _rows_of(
    call: Row,
    created_at: datetime,
    count_tokens: CountTokens | None,
    token_budget: int | None,
    schema: type[Answer] | type[Pairs],
) -> list[dict[str, Any]]:
    rows = []
    for index, proposal in enumerate(schema.model_validate_json(call["answer"]).proposals):
        raw = normalise(proposal.raw_prompt) if isinstance(proposal, Pair) else call["subject"]
        target, units = normalise(proposal.target_prompt), proposal.units()
        instruction, intent = normalise(proposal.instruction), normalise(proposal.intent)
        broken = violations(raw, instruction, target, intent, units, count_tokens, token_budget)
        rows.append(
            {
                "triple_id": triple_id(call["call_id"], index),
                "call_id": call["call_id"],
                "recipe_id": call["recipe_id"],
                "raw_prompt_id": call["raw_prompt_id"],
                "raw_prompt": raw,
                "instruction": instruction,
                "edit_kind": proposal.kind.value,
                "target_prompt": target,
                "intent": intent,
                "units": [unit._asdict() for unit in units],
                "units_source": "teacher",
                "violations": broken,
                "target_tokens": count_tokens(target) if count_tokens else None,
                "split": split_of(call["raw_prompt_id"]),
                "created_at": created_at,
            }
        )
    return rows
