"""wanted − have: how each stage's SQL macro is called.

`sql/views/*.sql` say which rows should exist and do not; here only the arguments are put together.
Rows come in a stable order, so that two processes make the same shards of the same to-do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from schemas.errors import WarehouseError

RENDER_ATTEMPTS = 3  # our choice: a render or score that failed three times is given up

ORDER = {
    "teach": "sample_index, raw_prompt_id",
    "follow_up": "raw_prompt_id",
    "beautify": "triple_id",
    "read": "call_id, attempt",
    "render": "prompt, seed",
    "score": "scorer_id, render_id, intent",
    "evaluation_render": "prompt, seed",
    "evaluation_score": "scorer_id, render_id, intent",
}

# What a row of a to-do is claimed by; its checksum says to which shard it belongs.
KEY = {
    "teach": "raw_prompt_id",
    "follow_up": "raw_prompt_id",
    "beautify": "raw_prompt_id",
    "read": "call_id",
    "render": "prompt",
    "score": "render_id",
}

_CALLS = ("raw_prompts", "occurrences", "teacher_calls", "removals", "triples", "recipes")
READS = {  # the tables behind each stage's view
    "teach": ("raw_prompts", "occurrences", "teacher_calls", "removals"),
    "follow_up": _CALLS,
    "beautify": _CALLS,
    "read": ("teacher_calls", "triples"),
    "render": ("triples", "removals", "occurrences", "recipes", "renders"),
    "score": ("triples", "removals", "occurrences", "recipes", "renders", "scorers", "scores"),
    "evaluation_render": ("evaluation_cases", "evaluation_outputs", "renders"),
    "evaluation_score": ("evaluation_cases", "evaluation_outputs", "renders", "scorers", "scores"),
}


def todo_sql(
    stage: str,
    *,
    recipe_id: str | None = None,
    recipe_ids: Sequence[str] = (),
    source_ids: Sequence[str] = (),
    lines: int | None = None,
    samples: int = 1,
    share: float | None = None,
    build_id: str | None = None,
    retry_failed: bool = False,
    attempts_per_build: int = 3,
    attempts_terminal: int = 2,
    tis_id: str | None = None,
    seeds: Sequence[int] = (),
    scorer_ids: Sequence[str] = (),
    since: datetime | None = None,
    attempts: int = RENDER_ATTEMPTS,
    case_set_id: str | None = None,
    method_ids: Sequence[str] = (),
    unit_scorer_ids: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    """(SQL without an order, its parameters) of a stage's to-do.

    Raises WarehouseError for an unknown stage and for a filter that the stage needs and lacks.
    """
    if stage not in ORDER:
        raise WarehouseError(f"There is no stage {stage!r}; known: {', '.join(ORDER)}.")
    wanted = {
        "render": {"tis_id": tis_id},
        "score": {"tis_id": tis_id},
        "follow_up": {"recipe_id": recipe_id, "share": share},
        "evaluation_render": {"tis_id": tis_id, "case_set_id": case_set_id},
        "evaluation_score": {"tis_id": tis_id, "case_set_id": case_set_id},
    }
    for name, value in wanted.get(stage, {"recipe_id": recipe_id}).items():
        if value is None:
            raise WarehouseError(f"The to-do of stage {stage!r} needs {name}.")
    calls = {
        "build": build_id,
        "retry": retry_failed,
        "per_build": attempts_per_build,
        "terminal": attempts_terminal,
    }
    chosen = [recipe_id] if recipe_id and not recipe_ids else list(recipe_ids)
    scope = {"sources": list(source_ids), "lines": lines}
    renders = {"recipes": chosen, **scope, "since": since, "attempts": attempts}
    outputs = {"cases": case_set_id, "methods": list(method_ids), "tis": tis_id}
    outputs |= {"seeds": list(seeds), "attempts": attempts}
    arguments: dict[str, Any] = {
        "teach": {"recipe": recipe_id, "samples": samples, **scope, **calls},
        "follow_up": {"recipe": recipe_id, "share": share, **scope, **calls},
        "beautify": {"recipe": recipe_id, **calls},
        "read": {"recipe": recipe_id},
        "render": {"tis": tis_id, "seeds": list(seeds), **renders},
        "score": {
            "tis": tis_id,
            "seeds": list(seeds),
            "scorers": list(scorer_ids),
            **renders,
        },
        "evaluation_render": outputs,
        "evaluation_score": outputs
        | {"scorers": list(scorer_ids), "unit_scorers": list(unit_scorer_ids)},
    }[stage]
    slots = ", ".join(f"${name}{_TYPES.get(name, '')}" for name in arguments)
    return f"FROM todo_{stage}({slots})", arguments


def shard_sql(stage: str, shard: int, of: int) -> str:
    """The condition that holds for the rows of shard `shard` of `of`, the same on every machine."""
    return f"md5_number({KEY[stage]}) % {int(of)} = {int(shard)}"


# An empty Python list reaches DuckDB as a list of NULL type, which `list_contains` refuses.
_TYPES = {
    "sources": "::VARCHAR[]",
    "recipes": "::VARCHAR[]",
    "scorers": "::VARCHAR[]",
    "unit_scorers": "::VARCHAR[]",
    "methods": "::VARCHAR[]",
    "seeds": "::BIGINT[]",
    "lines": "::BIGINT",
    "since": "::TIMESTAMPTZ",
    "build": "::VARCHAR",
}
