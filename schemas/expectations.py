"""What must hold of data before it is committed or published: the audit's suites, as plain data.

`increment_suite` judges the staged increment of one table, `candidate_suite` the whole of a
candidate version.  An expectation names a Great Expectations class and its arguments; `tasks.audit`
lets Great Expectations judge it.  A column of the judged frame is a column of the data or a feature
of it, written `feature(column)`: text is judged by lengths and codes, because frames of numbers
keep the audit of a million rows within seconds.

Leaves out: how features are computed (`tasks.audit_views`), and what decides acceptance of a triple
(the decide query).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from schemas.records import TABLES
from schemas.settings import PublishSettings
from schemas.units import EditKind

ID_LENGTH = 32  # hex digits of `schemas.identity.content_id`
MAX_TURN = 16  # turns of a chat; our choice, far above what the teacher is asked for
MAX_CHARACTERS = 20_000  # of a prompt; ten times the longest line that collect lets in

View = Literal["columns", "rows", "roots", "texts", "kinds", "drift", "roles"]


class Expectation(NamedTuple):
    """One thing that must hold of one view of the data."""

    says: str  # the sentence that a report shows
    view: View
    kind: str  # name of a class in great_expectations.expectations
    arguments: Mapping[str, Any]
    hint: str = ""  # what to do where it does not hold


SCHEMA = Expectation(
    "The columns and their types are those of the record",
    "columns",
    "ExpectColumnValuesToBeInSet",
    {"column": "as_wanted", "value_set": [True]},
    "A table was made by another version of DiffChat: rebuild it with this one.",
)

_OPTIONAL: dict[str, set[str]] = {
    "sources": {"lines"},
    "raw_prompts": {"minhash", "tokens", "language"},
    "rejections": {"detail"},
    "teacher_calls": {
        *("error", "answer", "model", "prompt_tokens", "completion_tokens", "cost_usd"),
        *("latency_ms", "raw_prompt_id", "subject"),
    },
    "triples": {"parent_triple_id", "minhash", "intent", "target_tokens"},
    "tis_models": {"token_budget"},
    "renders": {"error", "image_sha256", "width", "height"},
    "scores": {"intent", "value", "error"},
    "decision_sets": {"snapshot_id"},
    "decisions": {"aesthetic_gain", "preference_gain"},
    "dataset_versions": {"decision_set_id", "snapshot_id", "settings_hash"},
    "published_rows": {
        *("version", "parent_triple_id", "intent", "aesthetic_gain", "preference_gain"),
        *("source", "licence"),
    },
    "builds": {"code_revision"},
}
_ONE_OF: dict[str, dict[str, tuple[str, ...]]] = {
    "raw_prompts": {"split": ("train", "validation", "test")},
    "teacher_calls": {"status": ("ok", "transient", "refusal", "schema")},
    "triples": {
        "split": ("train", "validation", "test"),
        "edit_kind": tuple(EditKind),
        "units_source": ("teacher", "rule"),
    },
    "renders": {"status": ("ok", "failed")},
    "scores": {"status": ("ok", "failed")},
    "dataset_versions": {"status": ("published", "retired")},
    "published_rows": {
        "split": ("train", "validation", "test"),
        "edit_kind": tuple(EditKind),
        "units_source": ("teacher", "rule"),
    },
}
_AT_LEAST: dict[str, dict[str, float]] = {
    "sources": {"lines": 0},
    "raw_prompts": {"tokens": 0},
    "occurrences": {"line": 0},
    "rejections": {"line": 0},
    "teacher_calls": {
        "attempt": 1,
        "sample_index": 0,
        "prompt_tokens": 0,
        "completion_tokens": 0,
        "cost_usd": 0,
        "latency_ms": 0,
    },
    "triples": {"turn": 1},
    "renders": {"attempt": 1, "width": 1, "height": 1},
    "scores": {"attempt": 1},
    "dataset_versions": {"version": 1, "rows": 0},
}
_VERSIONED = TABLES["published_rows"][1]
_PROMPTS: dict[str, tuple[str, ...]] = {
    "raw_prompts": ("text",),
    "triples": ("raw_prompt", "instruction", "target_prompt"),
    "renders": ("prompt",),
    "published_rows": ("raw_prompt", "instruction", "target_prompt"),
}


def increment_suite(table: str) -> tuple[Expectation, ...]:
    """Expectations of the staged increment of `table`, a key of `schemas.records.TABLES`.

    Every column but the optional ones is there, the key is unique within the increment, words are
    from their sets, numbers in range and finite.  Raises KeyError for an unknown table.
    """
    schema, key = TABLES[table]
    optional = _OPTIONAL.get(table, set())
    found = [_present([name for name in schema.names if name not in optional]), _unique(key)]
    for column, words in _ONE_OF.get(table, {}).items():
        found.append(_one_of(column, words))
    for column, least in _AT_LEAST.get(table, {}).items():
        found.append(_between(column, column, least, None))
    for column in _PROMPTS.get(table, ()):
        found.append(
            _between(f"length of {column}", f"length({column})", 1, MAX_CHARACTERS, "characters")
        )
    if "raw_prompt" in _PROMPTS.get(table, ()):
        found.append(_differs("raw_prompt", "target_prompt"))
    found += [_finite(f.name) for f in schema if pa.types.is_floating(f.type)]
    return (SCHEMA, *found)


def candidate_suite(
    settings: PublishSettings,
    rows: int,
    previous_rows: int = 0,
    previous_shares: Mapping[str, float] | None = None,
) -> tuple[Expectation, ...]:
    """Expectations of a candidate version of `rows` rows, in the columns of `PUBLISHED_ROWS`.

    `previous_shares` maps each kind of edit to its share of the previous version; None judges no
    drift.  The bounds on shares and drift have an allowance for the sampling noise of small
    versions, so that a first build of five rows is not refused for being uneven.
    """
    bound = share_bound(settings.max_kind_share, rows)
    found = [
        Expectation(
            f"The version has at least {settings.min_rows} rows",
            "rows",
            "ExpectTableRowCountToBeBetween",
            {"min_value": settings.min_rows},
            "Collect more prompts, loosen the rules of [decide], or lower publish.min_rows.",
        ),
        *(e for e in increment_suite("published_rows")[1:] if e != _unique(_VERSIONED)),
        _unique(("triple_id",)),  # a candidate has no version yet, which the key would need
        _between("length of triple_id", "length(triple_id)", ID_LENGTH, ID_LENGTH, "characters"),
        _between("turn", "turn", 1, MAX_TURN),
        _flag("A row has a parent if and only if it is a later turn", "rows", "parent_fits()"),
        Expectation(
            "No raw prompt (by id) is in two splits",
            "roots",
            "ExpectColumnValuesToBeUnique",
            {"column": "code(raw_prompt_id)"},
        ),
        _flag("The split is the hash of the root raw prompt", "roots", "split_fits()"),
        Expectation(
            "No raw prompt (by text, first turns) is in two splits",
            "texts",
            "ExpectColumnValuesToBeUnique",
            {"column": "code(raw_prompt)"},
        ),
        Expectation(
            "Content units are to keep, add or remove",
            "roles",
            "ExpectColumnValuesToBeInSet",
            {"column": "role", "value_set": ["keep", "add", "remove"]},
        ),
        Expectation(
            f"No kind of edit has more than {settings.max_kind_share:.0%} of the rows"
            f" ({bound:.1%} with the allowance for {rows} rows)",
            "kinds",
            "ExpectColumnValuesToBeBetween",
            {"column": "share", "max_value": bound},
            "Ask the teacher for other kinds (teacher.kinds), or raise publish.max_kind_share.",
        ),
    ]
    if previous_shares is not None:
        found.append(_drift(settings.max_drift, rows, previous_rows, previous_shares))
    return (SCHEMA, *found)


def share_bound(most: float, rows: int) -> float:
    """Greatest share of a kind that `rows` rows may show: `most` plus three standard errors.

    Our choice; at 10,000 rows the allowance is 1.5 points, at 10 rows nothing is refused.
    """
    return min(1.0, most + 3 * math.sqrt(most * (1 - most) / max(rows, 1)))


def drift_bound(most: float, rows: int, before: int, shares: Mapping[str, float]) -> float:
    """Greatest total variation distance between two versions: `most` plus twice the noise.

    The noise is the distance expected between two samples of `rows` and `before` rows from the
    same shares: ½ Σ √(p(1−p)(1/rows + 1/before)), an upper bound.  Our choice.
    """
    per_row = 1 / max(rows, 1) + 1 / max(before, 1)
    return min(1.0, most + sum(math.sqrt(p * (1 - p) * per_row) for p in shares.values()))


def _drift(most: float, rows: int, before: int, shares: Mapping[str, float]) -> Expectation:
    bound = drift_bound(most, rows, before, shares)
    return Expectation(
        f"The shares of the kinds moved by at most {most:.0%} since the previous version"
        f" ({bound:.1%} with the allowance for sampling)",
        "drift",
        "ExpectColumnValuesToBeBetween",
        {"column": "total_variation", "max_value": bound},
        "If the change is meant, raise publish.max_drift for this build.",
    )


def _present(columns: Sequence[str]) -> Expectation:
    # One expectation for all columns: each costs Great Expectations some 30 ms of bookkeeping.
    return Expectation(
        f"Every row has {', '.join(columns)}",
        "rows",
        "ExpectColumnValuesToBeInSet",
        {"column": f"missing({','.join(columns)})", "value_set": ["nothing"]},
    )


def _unique(key: tuple[str, ...]) -> Expectation:
    return Expectation(
        f"{' and '.join(key)} {'is' if len(key) == 1 else 'together are'} unique",
        "rows",
        "ExpectColumnValuesToBeUnique",
        {"column": f"code({','.join(key)})"},
    )


def _one_of(column: str, words: tuple[str, ...]) -> Expectation:
    # Not the enumeration's members: Great Expectations writes arguments into its results as JSON.
    plain = [str(word) for word in words]
    return Expectation(
        f"{column} is one of {', '.join(plain)}",
        "rows",
        "ExpectColumnValuesToBeInSet",
        {"column": f"word({column})", "value_set": plain},
    )


def _between(
    label: str, column: str, least: float | None, most: float | None, unit: str = ""
) -> Expectation:
    bounds = {"min_value": least, "max_value": most}
    said = f"at least {least}" if most is None else f"from {least} to {most}"
    return Expectation(
        f"The {label} is {said}{' ' + unit if unit else ''}",
        "rows",
        "ExpectColumnValuesToBeBetween",
        {"column": column} | {key: value for key, value in bounds.items() if value is not None},
    )


def _flag(says: str, view: View, feature: str) -> Expectation:
    return Expectation(
        says, view, "ExpectColumnValuesToBeInSet", {"column": feature, "value_set": [True]}
    )


def _finite(column: str) -> Expectation:
    return _flag(f"{column} is a finite number where it is known", "rows", f"finite({column})")


def _differs(left: str, right: str) -> Expectation:
    return _flag(f"{right} differs from {left}", "rows", f"differs({left},{right})")
