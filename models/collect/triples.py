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
CheckTriple = Callable[[dict[str, Any]], Sequence[str]]


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


class Imported(NamedTuple):
    """Tables of `schemas.records`; every row read is in `occurrences` or `rejections`."""

    sources: pa.Table
    raw_prompts: pa.Table
    occurrences: pa.Table
    rejections: pa.Table
    recipes: pa.Table
    triples: pa.Table


def read_triples(
    source: SourceSettings,
    rules: CollectSettings,
    extract_units: ExtractUnits,
    check: CheckTriple | None = None,
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
    columns: Columns | None = None,
    limit: int | None = None,
    collected_at: datetime | None = None,
) -> Imported:
    """All edit triples of a source (JSON, JSONL, CSV, TSV, Parquet, hub).  Raises SourceError.

    `extract_units(raw_prompt, instruction, target_prompt)` derives the content units;
    `check(triple)` names the rules that a row of TRIPLES breaks.  Raw prompt and target are held
    to `rules` and to the token budget as collected prompts are.
    """
    time = collected_at or datetime.now(UTC)
    seen = fingerprint(source, limit)
    edits = list(read_edits(source, columns, limit))
    recipe = {"columns": list(columns or ()), "source": "import"}
    recipe_id = content_id("recipe", "import", recipe)
    judge = _EditJudge(rules, count_tokens, token_budget)
    prompts: dict[str, dict[str, Any]] = {}
    triples: dict[str, dict[str, Any]] = {}
    sightings, refused = [], []
    identity = source_id(source)
    for edit in edits:
        texts = (edit.raw_prompt, edit.instruction, edit.target_prompt)
        key = occurrence_id(identity, edit.line, " | ".join(texts)[:KEPT_CHARACTERS])
        place = {"source_id": identity, "line": edit.line, "collected_at": time}
        verdict = judge(edit)
        if isinstance(verdict, Refusal):
            text = escape(" | ".join(filter(None, texts)))
            refused.append({"rejection_id": key, "text": text} | verdict._asdict() | place)
            continue
        raw, target = verdict
        root = raw_prompt_id(raw.text)
        prompts.setdefault(
            root,
            {"raw_prompt_id": root, "split": split_of(root), "collected_at": time} | raw._asdict(),
        )
        triple = _triple(edit, raw, target, recipe_id, time)
        triples.setdefault(triple["triple_id"], triple)
        sightings.append(
            {"occurrence_id": key, "raw_prompt_id": root, "licence": source.licence} | place
        )
    rows = _complete(list(triples.values()), extract_units, check)
    return Imported(
        source_row(source, len(edits), time, limit, seen),
        with_bands(list(prompts.values())),
        pa.Table.from_pylist(sightings, schema=OCCURRENCES),
        pa.Table.from_pylist(refused, schema=REJECTIONS),
        _recipe(recipe_id, recipe, time),
        rows,
    )


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
        "edit_kind": edit.kind or str(edit_kind_of(instruction)),
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


def _complete(
    rows: list[dict[str, Any]], extract_units: ExtractUnits, check: CheckTriple | None
) -> pa.Table:
    bands = triple_bands([r["instruction"] for r in rows], [r["target_prompt"] for r in rows])
    for row in rows:
        units = extract_units(row["raw_prompt"], row["instruction"], row["target_prompt"])
        row["units"] = [{"role": unit.role, "text": unit.text} for unit in units]
        row["violations"] = list(check(row)) if check else []
    table = pa.Table.from_pylist(rows, schema=TRIPLES)
    place = TRIPLES.get_field_index("minhash")
    return table.set_column(place, TRIPLES.field(place), bands)


def _recipe(recipe_id: str, settings: dict[str, Any], time: datetime) -> pa.Table:
    text = json.dumps(settings, sort_keys=True)
    row = {"recipe_id": recipe_id, "kind": "import", "settings": text, "created_at": time}
    return pa.Table.from_pylist([row], schema=RECIPES)
