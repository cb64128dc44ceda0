"""wanted − have: how each stage's SQL macro is called.

`sql/views/*.sql` say which rows should exist and do not; here only the arguments are put together.
Rows come in a stable order, so that two processes make the same shards of the same to-do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

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
    "conversation_render": "prompt, seed",
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
    "conversation_render": ("evaluation_outputs", "renders"),
    "evaluation_score": ("evaluation_cases", "evaluation_outputs", "renders", "scorers", "scores"),
}


class Filters(NamedTuple):
    """What a to-do may be asked for; which of it a stage reads, `ARGUMENTS` says."""

    recipe_id: str | None = None
    recipe_ids: Sequence[str] = ()  # empty: triples of any recipe
    source_ids: Sequence[str] = ()  # empty: of any source
    lines: int | None = None
    samples: int = 1
    share: float | None = None
    build_id: str | None = None
    retry_failed: bool = False
    attempts_per_build: int = 3
    attempts_terminal: int = 2
    tis_id: str | None = None
    seeds: Sequence[int] = ()
    scorer_ids: Sequence[str] = ()
    since: datetime | None = None
    attempts: int = RENDER_ATTEMPTS
    case_set_id: str | None = None
    case_ids: Sequence[str] = ()
    method_ids: Sequence[str] = ()
    unit_scorer_ids: Sequence[str] = ()


_SCOPE = ("source_ids", "lines")
_TRIES = ("build_id", "retry_failed", "attempts_per_build", "attempts_terminal")
_OF_TRIPLES = ("recipe_ids", *_SCOPE, "since", "attempts")
_PICTURES = ("method_ids", "tis_id", "seeds", "attempts")
_OF_OUTPUTS = ("case_set_id", *_PICTURES)
ARGUMENTS = {  # of each stage's macro, in its order
    "teach": ("recipe_id", "samples", *_SCOPE, *_TRIES),
    "follow_up": ("recipe_id", "share", *_SCOPE, *_TRIES),
    "beautify": ("recipe_id", *_TRIES),
    "read": ("recipe_id",),
    "render": ("tis_id", "seeds", *_OF_TRIPLES),
    "score": ("tis_id", "seeds", "scorer_ids", *_OF_TRIPLES),
    "evaluation_render": _OF_OUTPUTS,
    "conversation_render": ("case_ids", *_PICTURES),
    "evaluation_score": (*_OF_OUTPUTS, "scorer_ids", "unit_scorer_ids"),
}
NEEDED = ("recipe_id", "share", "tis_id", "case_set_id")  # by every stage that reads them

# An empty Python list reaches DuckDB as a list of NULL type, which `list_contains` refuses.
_TYPES = {
    "source_ids": "::VARCHAR[]",
    "recipe_ids": "::VARCHAR[]",
    "scorer_ids": "::VARCHAR[]",
    "unit_scorer_ids": "::VARCHAR[]",
    "case_ids": "::VARCHAR[]",
    "method_ids": "::VARCHAR[]",
    "seeds": "::BIGINT[]",
    "lines": "::BIGINT",
    "since": "::TIMESTAMPTZ",
    "build_id": "::VARCHAR",
}


def todo_sql(stage: str, **filters: Any) -> tuple[str, dict[str, Any]]:
    """(SQL without an order, its parameters) of a stage's to-do; filters as in `Filters`.

    Raises WarehouseError for an unknown stage and for a filter that the stage needs and lacks.
    """
    if stage not in ORDER:
        raise WarehouseError(f"There is no stage {stage!r}; known: {', '.join(ORDER)}.")
    given = Filters(**filters)._asdict()
    arguments = {name: given[name] for name in ARGUMENTS[stage]}
    for name in NEEDED:
        if name in arguments and arguments[name] is None:
            raise WarehouseError(f"The to-do of stage {stage!r} needs {name}.")
    slots = ", ".join(f"${name}{_TYPES.get(name, '')}" for name in arguments)
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()}
    return f"FROM todo_{stage}({slots})", listed


def shard_sql(stage: str, shard: int, of: int) -> str:
    """The condition that holds for the rows of shard `shard` of `of`, the same on every machine."""
    return f"md5_number({KEY[stage]}) % {int(of)} = {int(shard)}"
