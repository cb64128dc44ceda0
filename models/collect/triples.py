"""Import edit triples that others made: the official InstructPE and InstructPix2Pix-style sets.

Each row becomes a triple of the kind the teacher writes, so that it goes through the same render,
score and decide stages; a row that cannot is a rejection with a reason.  Columns are recognised by
the names that the public sets use (`RAW`, `INSTRUCTION`, `TARGET`), or given.  Of InstructPE the
raw prompt is `source_prompt` and the target `beautified_target_prompt`, which is what a user types
and wants to get; pass `columns` to pair it with `beautified_source_prompt` instead.

Left out: sets whose two sides are pictures without captions (MagicBrush's main files), and near
duplicates, which decide finds over all triples by their bands.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from models.collect.edit_kind import edit_kind_of
from models.collect.judge import Accepted, CountTokens, Refusal, checker, escape, with_bands
from models.collect.lines import KEPT_CHARACTERS
from models.collect.minhash import triple_bands
from models.collect.normalise import normalise
from models.collect.readers import source_rows
from models.collect.source import Line, fingerprint, source_id, source_row
from schemas.errors import SourceError
from schemas.identity import content_id, occurrence_id, raw_prompt_id, split_of, triple_id
from schemas.records import OCCURRENCES, RECIPES, REJECTIONS, TRIPLES
from schemas.settings import CollectSettings, SourceSettings
from schemas.units import EditKind, Unit

# In this order; ours, InstructPE, the clip-filtered hub set, the original files and HQ-Edit,
# UltraEdit, and captions beside picture pairs.
RAW = (
    "raw_prompt",
    "source_prompt",
    "original_prompt",
    "input",
    "source_caption",
    "original_caption",
    "input_caption",
    "before_caption",
    "caption",
)
INSTRUCTION = (
    "instruction",
    "edit",
    "edit_prompt",
    "edit_instruction",
    "editing_instruction",
    "instruction_prompt",
)
TARGET = (
    "target_prompt",
    "beautified_target_prompt",
    "edited_prompt",
    "output",
    "target_caption",
    "edited_caption",
    "output_caption",
    "after_caption",
    "new_caption",
)
MAX_INSTRUCTION_CHARACTERS = 1_000

ExtractUnits = Callable[[str, str, str], Sequence[Unit]]


class Columns(NamedTuple):
    """Names of the columns of a set of edit triples."""

    raw_prompt: str
    instruction: str
    target_prompt: str


class Edit(NamedTuple):
    """One row of a set: three texts, or a reason; `kind` and `intent` where the set has them."""

    line: int
    raw_prompt: str
    instruction: str
    target_prompt: str
    kind: str | None = None
    intent: str | None = None
    reason: str | None = None
    detail: str = ""


def read_triples(
    location: str | Path,
    licence: str = "unknown",
    rules: CollectSettings | None = None,
    *,
    kind: str = "auto",
    columns: Columns | None = None,
    limit: int | None = None,
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
    extract_units: ExtractUnits | None = None,
    collected_at: datetime | None = None,
) -> dict[str, pa.Table]:
    """All edit triples of a file, glob or `hf://` id (JSON, JSONL, CSV, TSV, Parquet, hub).

    Returns tables by the names and with the columns of `schemas.records`, in the order in which to
    append them: raw_prompts, occurrences, rejections, recipes, triples, and sources last, for it
    says that all rows are there.  Every row read is in `occurrences` or in `rejections`.

    Raw prompt and target are held to `rules` (default: those of a profile without settings) and to
    the token budget as collected prompts are.  Units come from `extract_units(raw_prompt,
    instruction, target_prompt)`, default `models.integrity`; violations from the rules that hold
    for the teacher's answers.  Raises SourceError.
    """
    source = SourceSettings.model_validate(
        {"location": str(location), "licence": licence, "kind": kind}
    )
    time = collected_at or datetime.now(UTC)
    seen = fingerprint(source, limit)
    recipe = json.dumps({"columns": list(columns or ())}, sort_keys=True)
    recipe_id = content_id("recipe", "import", recipe)
    judge = _EditJudge(rules or CollectSettings(), count_tokens, token_budget)
    read = _Read(source_id(source), licence, time)
    for edit in read_edits(source, columns, limit):
        read.take(edit, judge(edit), recipe_id)
    rows = list(read.triples.values())
    _derive(rows, extract_units or _default_units(), count_tokens, token_budget)
    recipe_row = {"recipe_id": recipe_id, "kind": "import", "settings": recipe, "created_at": time}
    return {
        "raw_prompts": with_bands(list(read.prompts.values())),
        "occurrences": pa.Table.from_pylist(read.sightings, schema=OCCURRENCES),
        "rejections": pa.Table.from_pylist(read.refused, schema=REJECTIONS),
        "recipes": pa.Table.from_pylist([recipe_row], schema=RECIPES),
        "triples": _with_triple_bands(rows),
        "sources": source_row(source, read.count, time, limit, seen),
    }


class _Read:
    """Rows of the tables, as the edits of a source come in."""

    def __init__(self, source: str, licence: str, time: datetime):
        self.source, self.licence, self.time = source, licence, time
        self.count = 0
        self.prompts: dict[str, dict[str, Any]] = {}
        self.triples: dict[str, dict[str, Any]] = {}
        self.sightings: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []

    def take(
        self, edit: Edit, verdict: tuple[Accepted, Accepted] | Refusal, recipe_id: str
    ) -> None:
        self.count += 1
        joined = " | ".join(filter(None, (edit.raw_prompt, edit.instruction, edit.target_prompt)))
        key = occurrence_id(self.source, edit.line, joined[:KEPT_CHARACTERS])
        place = {"source_id": self.source, "line": edit.line, "collected_at": self.time}
        if isinstance(verdict, Refusal):
            row = {"rejection_id": key, "text": escape(joined)} | verdict._asdict()
            self.refused.append(row | place)
            return
        raw, target = verdict
        root = raw_prompt_id(raw.text)
        prompt = {"raw_prompt_id": root, "split": split_of(root), "collected_at": self.time}
        self.prompts.setdefault(root, prompt | raw._asdict())
        triple = _triple(edit, raw, target, recipe_id, self.time)
        self.triples.setdefault(triple["triple_id"], triple)
        row = {"occurrence_id": key, "raw_prompt_id": root, "licence": self.licence}
        self.sightings.append(row | place)


def read_edits(
    source: SourceSettings, columns: Columns | None = None, limit: int | None = None
) -> Iterator[Edit]:
    """The rows of a source as edits, numbered from 1.  Raises SourceError without the columns."""

    def choose(names: tuple[str, ...]) -> list[str]:
        optional = [name for name in ("edit_kind", "intent") if name in names]
        return [*(columns or find_columns(names, source.location)), *optional]

    found: Columns | None = columns
    number = 0
    for row in islice(source_rows(source, choose), limit):
        number += 1
        if row.reason is not None:
            yield Edit(number, row.text, "", "", reason=row.reason, detail=row.detail)
        elif not isinstance(row.values, dict):
            detail = "an object with three texts was expected"
            yield Edit(number, str(row.values), "", "", reason="malformed", detail=detail)
        else:
            found = found or find_columns(tuple(row.values), source.location)
            yield _edit(number, row.values, found)
    if not number and limit != 0:
        raise SourceError(f"{source.location!r} has no rows: there is nothing to import.")


def find_columns(names: Sequence[str], place: str) -> Columns:
    """The columns of raw prompt, instruction and target.  Raises SourceError that lists them."""
    lower = {name.strip().lower(): name for name in reversed(names)}
    found = [
        next((lower[name] for name in known if name in lower), None)
        for known in (RAW, INSTRUCTION, TARGET)
    ]
    if all(found):
        return Columns(*map(str, found))
    missing = ", ".join(
        role for role, name in zip(Columns._fields, found, strict=True) if name is None
    )
    raise SourceError(
        f"{place} has no column known to hold the {missing}. Its columns: "
        f"{', '.join(map(repr, names[:50])) or 'none'}. A set of edit triples needs the captions "
        "of both sides and the instruction, such as input, edit, output."
    )


def _edit(number: int, values: dict[str, Any], columns: Columns) -> Edit:
    texts = Columns(*(values.get(name) for name in columns))  # pyright: ignore[reportArgumentType]
    for name, text in zip(columns, texts, strict=True):
        if not isinstance(text, str):
            shown = (value if isinstance(value, str) else "" for value in texts)
            detail = f"{name} is {type(text).__name__}"
            reason = "no_prompt" if text is None else "not_text"
            return Edit(number, *Columns(*shown), reason=reason, detail=detail)
    kind, intent = values.get("edit_kind"), values.get("intent")
    known = kind if isinstance(kind, str) and kind in set(EditKind) else None
    return Edit(number, *texts, kind=known, intent=intent if isinstance(intent, str) else None)


class _EditJudge:
    """The rules of collect for both prompts, and a few for the instruction."""

    def __init__(
        self, rules: CollectSettings, count_tokens: CountTokens | None, token_budget: int | None
    ):
        self.check = checker(rules, count_tokens, token_budget)

    def __call__(self, edit: Edit) -> tuple[Accepted, Accepted] | Refusal:
        if edit.reason is not None:
            return Refusal(edit.reason, edit.detail)
        raw = self.check(Line("", edit.line, edit.raw_prompt))
        if isinstance(raw, Refusal):
            return raw
        target = self.check(Line("", edit.line, edit.target_prompt))
        if isinstance(target, Refusal):
            return Refusal(target.reason, f"target prompt: {target.detail}".rstrip(": "))
        if not normalise(edit.instruction):
            return Refusal("empty", "the instruction is empty")
        if len(edit.instruction) > MAX_INSTRUCTION_CHARACTERS:
            return Refusal("too_long", f"an instruction of {len(edit.instruction):,} characters")
        if "\0" in edit.instruction or "\ufffd" in normalise(edit.instruction):
            return Refusal("not_text", "the instruction has characters that are not text")
        return raw, target


def _triple(
    edit: Edit, raw: Accepted, target: Accepted, recipe_id: str, time: datetime
) -> dict[str, Any]:
    instruction, root = normalise(edit.instruction), raw_prompt_id(raw.text)
    call = content_id("import", raw.text, instruction, target.text)
    return {
        "triple_id": triple_id(call, 0),
        "call_id": call,
        "recipe_id": recipe_id,
        "raw_prompt_id": root,
        "turn": 1,
        "raw_prompt": raw.text,
        "instruction": instruction,
        "edit_kind": edit.kind,  # or None: derived with the units
        "target_prompt": target.text,
        "target_tokens": target.tokens,
        "intent": normalise(edit.intent or "") or plain_sentence(target.text),
        "units_source": "rule",
        "split": split_of(root),
        "created_at": time,
    }


def plain_sentence(prompt: str) -> str:
    """What a prompt shows, without the modifiers behind it: its leading clauses.

    Clauses are kept until there are at least four words (our choice): captions come back whole,
    of a beautified prompt the subject stays.
    """
    kept: list[str] = []
    for clause in prompt.split(", "):
        kept.append(clause)
        if sum(len(part.split()) for part in kept) >= 4:
            break
    return ", ".join(kept).rstrip(" ,.")


def _default_units() -> ExtractUnits:
    from models.integrity import extract_units  # its lexicon is loaded when it is asked

    return extract_units


def _derive(
    rows: list[dict[str, Any]],
    extract_units: ExtractUnits,
    count_tokens: CountTokens | None,
    token_budget: int | None,
) -> None:
    """Fill in the units of triples and the rules that they break."""
    from models.teacher.rules import violations

    for row in rows:
        texts = (row["raw_prompt"], row["instruction"], row["target_prompt"])
        units = extract_units(*texts)
        row["units"] = [{"role": unit.role, "text": unit.text} for unit in units]
        row["edit_kind"] = row["edit_kind"] or str(_kind_of(row["instruction"], units))
        row["violations"] = violations(*texts, row["intent"], units, count_tokens, token_budget)


def _kind_of(instruction: str, units: Sequence[Unit]) -> EditKind:
    kind = edit_kind_of(instruction)
    # "have her ride a dragon" reads as an addition until the horse is seen to be gone.
    gone = any(unit.role == "remove" for unit in units)
    return EditKind.REPLACE if kind is EditKind.ADD and gone else kind


def _with_triple_bands(rows: list[dict[str, Any]]) -> pa.Table:
    bands = triple_bands([r["instruction"] for r in rows], [r["target_prompt"] for r in rows])
    table = pa.Table.from_pylist(rows, schema=TRIPLES)
    place = TRIPLES.get_field_index("minhash")
    return table.set_column(place, TRIPLES.field(place), bands)
