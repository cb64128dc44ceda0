"""Views of the audited data: what Great Expectations looks at, computed with Arrow.

A view is a set of rows (for a report's offending rows) and, in the same order, the columns to be
judged, which are columns of the rows or features of them such as `length(raw_prompt)`.  Features
are numbers and words from small sets: Great Expectations hashes and copies the whole frame for
every expectation, which takes seconds a column for a million prompts and nothing for codes.

Leaves out: what must hold (`schemas.expectations`) and the judging (`tasks.audit`).
"""

# pyright: reportAttributeAccessIssue=false
# pyarrow makes the functions of `pyarrow.compute` when it is imported: no checker can see them.

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from schemas.expectations import Expectation
from schemas.identity import split_of

Column = Any  # pa.ChunkedArray or pa.Array


def columns_view(table: pa.Table, wanted: pa.Schema) -> pa.Table:
    """One row a column that is wanted or found: column, wanted, found, as_wanted."""
    found = {field.name: str(field.type) for field in table.schema}
    names = [*wanted.names, *(name for name in found if name not in wanted.names)]
    rows = []
    for name in names:
        want = str(wanted.field(name).type) if name in wanted.names else "no such column"
        have = found.get(name, "missing")
        rows.append({"column": name, "wanted": want, "found": have, "as_wanted": want == have})
    return pa.Table.from_pylist(rows)


def kind_shares(kinds: Column) -> dict[str, float]:
    """Share of the rows of each kind of edit, in [0, 1]; empty for no rows."""
    counts = pc.value_counts(_flat(kinds))
    return {str(entry["values"]): entry["counts"] / len(kinds) for entry in counts.to_pylist()}


def candidate_views(
    candidate: pa.Table, previous_shares: Mapping[str, float] | None
) -> dict[str, pa.Table]:
    """The views of a candidate version, but for `columns`; rows in their original columns."""
    shares = kind_shares(candidate["edit_kind"])
    before = previous_shares or {}
    kinds = [
        {"edit_kind": kind, "share": shares.get(kind, 0.0), "previous": before.get(kind)}
        for kind in sorted({*shares, *before})
    ]
    texts = candidate.select(["raw_prompt", "split"]).filter(pc.equal(candidate["turn"], 1))
    roles = pc.struct_field(pc.list_flatten(_flat(candidate["units"])), "role")
    distance = sum(abs(row["share"] - (row["previous"] or 0.0)) for row in kinds) / 2
    return {
        "rows": candidate,
        "roots": candidate.group_by(["raw_prompt_id", "split"]).aggregate([]),
        "texts": texts.group_by(["raw_prompt", "split"]).aggregate([]),
        "kinds": pa.Table.from_pylist(
            kinds,
            pa.schema(
                [("edit_kind", pa.string()), ("share", pa.float64()), ("previous", pa.float64())]
            ),
        ),
        "drift": pa.table({"total_variation": [float(distance)]}),
        "roles": pa.table({"role": pc.unique(roles)}),
    }


def frame(rows: pa.Table, expectations: Iterable[Expectation]) -> pd.DataFrame:
    """The columns that `expectations` name, computed from `rows`, in the order of `rows`.

    A column that cannot be computed raises KeyError (of the column it needs).
    """
    columns: dict[str, pd.Series] = {}
    for expectation in expectations:
        name = expectation.arguments.get("column")
        if name is not None and name not in columns:
            columns[name] = _series(_column(rows, name))
    return pd.DataFrame(columns, index=pd.RangeIndex(rows.num_rows))


def _column(rows: pa.Table, name: str) -> Column:
    feature, bracket, rest = name.partition("(")
    if not bracket:
        return rows[name]
    arguments = [part for part in rest.rstrip(")").split(",") if part]
    return FEATURES[feature](rows, *arguments)


def _series(column: Column) -> pd.Series:
    column = _flat(column)
    if pa.types.is_boolean(column.type) and column.null_count == 0:
        return pd.Series(column.to_numpy(zero_copy_only=False))
    return column.to_pandas()


def _flat(column: Column) -> pa.Array:
    if isinstance(column, pa.Array):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _length(rows: pa.Table, column: str) -> Column:
    return pc.utf8_length(rows[column])


def _missing(rows: pa.Table, *columns: str) -> Column:
    """The first of the columns that is null in a row, or "nothing"."""
    known = pa.repeat("nothing", rows.num_rows)
    for column in reversed(columns):
        if rows[column].null_count:
            known = pc.if_else(pc.is_null(_flat(rows[column])), column, known)
    return known.dictionary_encode()


def _word(rows: pa.Table, column: str) -> Column:
    return rows[column].dictionary_encode()


def _code(rows: pa.Table, *columns: str) -> Column:
    """A number a distinct value (or combination of values); null where any value is null."""
    codes = [_flat(rows[column]).dictionary_encode() for column in columns]
    widths = [max(len(code.dictionary), 1) for code in codes]
    if len(codes) == 1:
        return codes[0].indices
    if float(np.prod(np.array(widths, dtype=float))) >= 2**62:
        raise OverflowError(f"too many distinct values in {', '.join(columns)} for one audit")
    whole = [pc.cast(code.indices, pa.int64()) for code in codes]
    return reduce(
        lambda left, pair: pc.add(pc.multiply(left, pa.scalar(pair[1])), pair[0]),
        list(zip(whole, widths, strict=True))[1:],
        whole[0],
    )


def _finite(rows: pa.Table, column: str) -> Column:
    return pc.fill_null(pc.is_finite(rows[column]), True)


def _differs(rows: pa.Table, left: str, right: str) -> Column:
    return pc.fill_null(pc.not_equal(rows[left], rows[right]), True)


def _parent_fits(rows: pa.Table) -> Column:
    return pc.fill_null(
        pc.equal(pc.is_null(rows["parent_triple_id"]), pc.equal(rows["turn"], 1)), True
    )


def _split_fits(rows: pa.Table) -> Column:
    pairs = zip(rows["raw_prompt_id"].to_pylist(), rows["split"].to_pylist(), strict=True)
    return pa.array([root is None or split_of(root) == split for root, split in pairs], pa.bool_())


FEATURES: dict[str, Callable[..., Column]] = {
    "length": _length,  # characters
    "missing": _missing,
    "word": _word,  # for columns of few distinct words
    "code": _code,
    "finite": _finite,  # true for null
    "differs": _differs,  # true where either is null: presence is judged apart
    "parent_fits": _parent_fits,
    "split_fits": _split_fits,
}
