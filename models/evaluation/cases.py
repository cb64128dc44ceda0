"""Cases: what every method is asked.  From a dataset version, from a file, or chained into turns.

A case has a raw prompt, an instruction, and where known a target, an intent and units.  What a
file does not give is derived by rule, and `intent_source` and `units_source` say so:

- units: `models.integrity.extract_units(raw_prompt, instruction[, target])`;
- intent: the unit phrases that are to be in the picture (keep, then add), joined by commas, for
  they are content without style; where there are none, the raw prompt and the instruction;
- kind of edit: by the words of the instruction (`models.collect.edit_kind`).

A *conversation* chains instructions of one root prompt, then instructions about looks borrowed
from other roots, up to a number of turns; what it requires at a turn is what the turns so far
asked for together.  The method goes on from its own answers, so what it drops stays dropped.

Leaves out: judging; whether a file's prompts are safe to show (they are escaped wherever shown).
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from models.collect.edit_kind import edit_kind_of
from models.integrity import extract_units
from schemas.errors import SourceError
from schemas.identity import content_id, raw_prompt_id
from schemas.units import LOOKS_KINDS, EditKind

LONGEST = 20_000  # characters of a prompt or instruction; no text encoder reads a tenth of it
Row = dict[str, Any]
_PROMPT = ("prompt", "raw_prompt", "raw")  # names of the column, the first found
_TARGET = ("target", "target_prompt")


def case_of(
    raw_prompt: str,
    instruction: str,
    *,
    source: str,
    target: str | None = None,
    intent: str | None = None,
    units: Sequence[Mapping[str, str]] | None = None,
    kind: str | None = None,
    origin: str = "file",
    **more: Any,
) -> Row:
    """A row of `evaluation_cases` without set and position; `origin` of what was given."""
    derived = None
    if units is None:
        derived = [u._asdict() for u in extract_units(raw_prompt, instruction, target)]
    have: list[Row] = derived if derived is not None else [dict(unit) for unit in units or ()]
    row: Row = {
        "form": "single",
        "source": source,
        "dataset_version": None,
        "triple_id": None,
        "cluster_id": raw_prompt_id(raw_prompt),
        "parent_case_id": None,
        "turn": 1,
        "first_prompt": raw_prompt,
        "history": [],
        "raw_prompt": raw_prompt,
        "instruction": instruction,
        "edit_kind": kind or str(edit_kind_of(instruction)),
        "target_prompt": target,
        "intent": intent or intent_of(raw_prompt, instruction, have),
        "intent_source": origin if intent else "rule",
        "units": have,
        "units_source": "rule" if derived is not None else origin,
    } | more
    asked = ("form", "parent_case_id", "first_prompt", "history", "raw_prompt", "instruction",
             "target_prompt", "intent", "units")  # fmt: skip
    return {"case_id": content_id("case", *(row[name] for name in asked))} | row


def intent_of(raw_prompt: str, instruction: str, units: Iterable[Mapping[str, str]]) -> str:
    """A style-free description of the wanted picture, by rule."""
    wanted = [u["text"] for role in ("keep", "add") for u in units if u["role"] == role]
    return ", ".join(dict.fromkeys(wanted)) or f"{raw_prompt}, {instruction}"


def numbered(cases: Iterable[Row]) -> tuple[str, list[Row]]:
    """(case_set_id, rows with set and position): a set is its cases, whatever their order.

    Raises SourceError if there are none.
    """
    unique = list({case["case_id"]: case for case in cases}.values())
    if not unique:
        raise SourceError(
            "There is no case to evaluate: the test split of this dataset version is empty. Build "
            "a larger one, or bring cases of your own with --cases FILE."
        )
    name = content_id("case_set", sorted(case["case_id"] for case in unique))
    rows = [{"case_set_id": name, "position": i} | case for i, case in enumerate(unique)]
    return name, rows


def dataset_cases(rows: Iterable[Mapping[str, Any]], version: int) -> list[Row]:
    """Single cases of published rows of the test split; a later turn carries the turns before.

    Rows have the columns of `PUBLISHED_ROWS`; the turn before is looked for among them.
    """
    by_id = {row["triple_id"]: row for row in rows}
    source = f"InstructPE version {version}, test"
    cases = []
    for row in by_id.values():
        history, first = _history(row, by_id)
        cases.append(
            case_of(
                row["raw_prompt"],
                row["instruction"],
                source=source,
                target=row["target_prompt"],
                intent=row["intent"],
                units=row["units"],
                kind=row["edit_kind"],
                origin=row["units_source"] or "teacher",
                dataset_version=version,
                triple_id=row["triple_id"],
                cluster_id=row["raw_prompt_id"],
                turn=len(history) + 1,
                first_prompt=first,
                history=history,
            )
        )
    return cases


def _history(row: Mapping[str, Any], by_id: Mapping[str, Any]) -> tuple[list[Row], str]:
    """Turns before `row`, oldest first, and the prompt that they began with."""
    history: list[Row] = []
    while (parent := by_id.get(row["parent_triple_id"])) is not None:
        history.insert(0, {"instruction": parent["instruction"], "prompt": parent["target_prompt"]})
        row = parent
    return history, row["raw_prompt"]


def conversations(cases: Sequence[Row], turns: int, limit: int) -> list[Row]:
    """Chains of up to `turns` first-turn instructions, at most `limit` of them.

    Instructions of one root are compatible if none removes what another keeps or adds, and each
    thing is edited once.
    """
    firsts = [c for c in cases if c["turn"] == 1 and not c["history"]]
    looks = [c for c in firsts if c["edit_kind"] in set(map(str, LOOKS_KINDS))]
    chains: list[Row] = []
    by_root: dict[str, list[Row]] = {}
    for case in sorted(firsts, key=lambda c: c["case_id"]):
        by_root.setdefault(case["cluster_id"], []).append(case)
    for root, own in list(by_root.items())[:limit]:
        others = [c for c in sorted(looks, key=lambda c: content_id("borrow", root, c["case_id"]))
                  if c["cluster_id"] != root]  # fmt: skip
        chain = _chain(own, others, turns)
        if len(chain) > 1:
            chains += _conversation(chain)
    return chains


def _chain(own: Sequence[Row], others: Sequence[Row], turns: int) -> list[Row]:
    chosen: list[Row] = []
    for case in [*own, *others]:
        if len(chosen) == turns:
            break
        fresh = case["instruction"] not in {c["instruction"] for c in chosen}
        if fresh and all(_compatible(case, other) for other in chosen):
            chosen.append(case)
    return chosen


def _compatible(one: Row, two: Row) -> bool:
    """Whether neither takes away or rewrites what the other asks for."""

    def texts(case: Row, *roles: str) -> set[str]:
        return {u["text"].lower() for u in case["units"] if u["role"] in roles}

    removed, also = texts(one, "remove"), texts(two, "remove")
    if one["cluster_id"] == two["cluster_id"] and removed & also:
        return False
    return not (removed & texts(two, "add")) and not (also & texts(one, "add"))


def _conversation(chain: Sequence[Row]) -> list[Row]:
    """Cases of one conversation: units add up, and what was removed no longer counts as kept."""
    first = chain[0]
    wanted = [u["text"] for u in first["units"] if u["role"] == "keep"]
    gone: list[str] = [u["text"] for u in first["units"] if u["role"] == "remove"]
    start = list(dict.fromkeys(wanted + gone))
    wanted, gone, parent = start, [], None
    rows: list[Row] = []
    for turn, case in enumerate(chain, 1):
        removed = [u["text"] for u in case["units"] if u["role"] == "remove"]
        added = [u["text"] for u in case["units"] if u["role"] == "add"]
        gone = [text for text in [*gone, *removed] if text not in added]
        wanted = list(dict.fromkeys([t for t in wanted if t not in removed] + added))
        units = [{"role": "keep", "text": text} for text in wanted if text not in added]
        units += [{"role": "add", "text": text} for text in added]
        units += [{"role": "remove", "text": text} for text in dict.fromkeys(gone)]
        row = case_of(
            first["raw_prompt"], case["instruction"],
            source=first["source"], units=units, kind=case["edit_kind"], origin="rule",
            form="conversation", dataset_version=first["dataset_version"],
            triple_id=first["triple_id"], cluster_id=first["cluster_id"],
            parent_case_id=parent, turn=turn,
        )  # fmt: skip
        rows.append(row)
        parent = row["case_id"]
    return rows


def read_cases(path: Path) -> list[Row]:
    """Cases of a JSONL or CSV file: prompt, instruction[, target, intent, units, edit_kind].

    Raises SourceError with file and line for a column that is missing, an empty prompt or
    instruction, one that is too long, or units that cannot be read.
    """
    if not path.is_file():
        raise SourceError(f"There is no file {path}: --cases wants a .jsonl or .csv file.")
    if path.suffix.lower() not in (".jsonl", ".csv"):
        raise SourceError(f"{path}: --cases wants a .jsonl or .csv file.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path} is not UTF-8 (byte {error.start}): save it as UTF-8.") from None
    lines = _csv(path, text) if path.suffix.lower() == ".csv" else _jsonl(path, text)
    cases = [_file_case(path, number, row) for number, row in lines]
    if not cases:
        raise SourceError(f"{path} holds no case.")
    return cases


def _csv(path: Path, text: str) -> list[tuple[int, Row]]:
    csv.field_size_limit(2**31 - 1)  # what is too long is said by line, not by the reader
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise SourceError(f"{path} is not valid CSV: {error}.") from None


def _jsonl(path: Path, text: str) -> list[tuple[int, Row]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceError(f"{path}, line {number} is not JSON: {error}.") from None
        if not isinstance(row, dict):
            raise SourceError(
                f"{path}, line {number}: a JSON object is needed, {line[:40]!r} is none."
            )
        rows.append((number, row))
    return rows


def _file_case(path: Path, number: int, row: Row) -> Row:
    where = f"{path}, line {number}"
    prompt = _text(row, _PROMPT, where)
    instruction = _text(row, ("instruction",), where)
    kind = row.get("edit_kind") or None
    if kind is not None and kind not in set(EditKind):
        raise SourceError(f"{where}: edit_kind {kind!r} is none of {', '.join(EditKind)}.")
    optional = {}
    for name, names in (("target", _TARGET), ("intent", ("intent",))):
        found = next((row[key] for key in names if row.get(key)), None)
        optional[name] = None if found is None else _checked(found, name, where)
    return case_of(
        prompt, instruction, source=path.name, kind=kind,
        units=_units(row.get("units"), where), **optional,
    )  # fmt: skip


def _text(row: Row, names: Sequence[str], where: str) -> str:
    present = [name for name in names if name in row]
    if not present:
        have = ", ".join(str(name) for name in row if name) or "none"
        raise SourceError(
            f"{where}: the column {names[0]!r} is missing (there are: {have}). A case needs prompt "
            "and instruction; target, intent, units and edit_kind are optional."
        )
    return _checked(row[present[0]], present[0], where)


def _checked(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SourceError(f"{where}: {name} is {value!r}; it must be a text that is not empty.")
    if len(value) > LONGEST:
        raise SourceError(
            f"{where}: {name} has {len(value):,} characters, at most {LONGEST:,} are taken: "
            f"{value[:40]!r}…"
        )
    return value.strip()


def _units(value: Any, where: str) -> list[Row] | None:
    """Units as a list of {role, text}, in CSV as the JSON of one; None: derive them."""
    if value in (None, ""):
        return None
    try:
        units = json.loads(value) if isinstance(value, str) else value
        found = [{"role": str(unit["role"]), "text": str(unit["text"])} for unit in units]
    except (ValueError, TypeError, KeyError):
        raise SourceError(
            f'{where}: units must look like [{{"role": "add", "text": "blue car"}}], these are '
            f"{str(value)[:80]!r}."
        ) from None
    wrong = sorted({unit["role"] for unit in found} - {"keep", "add", "remove"})
    if wrong:
        raise SourceError(f"{where}: a unit's role is keep, add or remove, not {wrong[0]!r}.")
    return found
