"""Judge lines: each is a sighting of a raw prompt, or a rejection with a reason.

A pure function of its lines and rules: shards can be judged anywhere, in any order.  Near
duplicates need all shards and the warehouse, so they come afterwards (`settle`).  The first check
that refuses a line names the reason:

not_text, malformed, no_prompt, empty, too_long (characters), too_short (words), too_many_tokens,
unsafe, language; near_duplicate is added by `settle`.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pyarrow as pa

from models.collect.language import USUAL, known_codes, language_of
from models.collect.lines import KEPT_CHARACTERS
from models.collect.minhash import band_hashes
from models.collect.normalise import normalise
from models.collect.readers import read_source
from models.collect.safety import unsafe_words
from models.collect.source import Line, shards
from schemas.errors import SettingsError
from schemas.identity import occurrence_id, raw_prompt_id, split_of
from schemas.records import OCCURRENCES, RAW_PROMPTS, REJECTIONS
from schemas.settings import CollectSettings, SourceSettings

CountTokens = Callable[[str], int]
LINES_AT_ONCE = 5_000  # of a source: bounds the memory of judging it
_WORD = re.compile(r"\w+")


class Judged(NamedTuple):
    """Three tables of `schemas.records`; every line read is in `occurrences` or `rejections`."""

    raw_prompts: pa.Table
    occurrences: pa.Table
    rejections: pa.Table

    @property
    def lines(self) -> int:
        return len(self.occurrences) + len(self.rejections)


class Refusal(NamedTuple):
    reason: str
    detail: str = ""


class Accepted(NamedTuple):
    text: str
    language: str
    tokens: int | None


def judge_source(
    source: SourceSettings,
    rules: CollectSettings,
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
) -> Iterator[Judged]:
    """Read a source and judge it shard by shard; raises SourceError if it cannot be read."""
    for lines in shards(read_source(source, rules.limit), LINES_AT_ONCE):
        yield judge(lines, rules, count_tokens, token_budget)


def judge(
    lines: Iterable[Line],
    rules: CollectSettings,
    count_tokens: CountTokens | None = None,
    token_budget: int | None = None,
    collected_at: datetime | None = None,
) -> Judged:
    """RAW_PROMPTS, OCCURRENCES and REJECTIONS of lines, without regard to near duplicates.

    `count_tokens` counts as the text encoder does and `token_budget` is what it takes, both with
    or both without special tokens; without them no length in tokens is stored or checked.
    """
    time = collected_at or datetime.now(UTC)
    check = checker(rules, count_tokens, token_budget)
    prompts: dict[str, dict[str, Any]] = {}
    sightings: list[dict[str, Any]] = []
    refused: list[dict[str, Any]] = []
    for line in lines:
        verdict = check(line)
        place = {"source_id": line.source_id, "line": line.line, "collected_at": time}
        key = occurrence_id(line.source_id, line.line, line.text[:KEPT_CHARACTERS])
        if isinstance(verdict, Refusal):
            row = {"rejection_id": key, "text": escape(line.text)} | verdict._asdict()
            refused.append(row | place)
            continue
        prompt = raw_prompt_id(verdict.text)
        if prompt not in prompts:
            prompts[prompt] = {
                "raw_prompt_id": prompt,
                "split": split_of(prompt),
                "collected_at": time,
            } | verdict._asdict()
        sighting = {"occurrence_id": key, "raw_prompt_id": prompt, "licence": line.licence}
        sightings.append(sighting | place)
    return Judged(
        with_bands(list(prompts.values())),
        pa.Table.from_pylist(sightings, schema=OCCURRENCES),
        pa.Table.from_pylist(refused, schema=REJECTIONS),
    )


def checker(
    rules: CollectSettings, count_tokens: CountTokens | None, token_budget: int | None
) -> Callable[[Line], Accepted | Refusal]:
    """The rules as one function of a line.  Raises SettingsError for an unknown language."""
    _check_languages(rules.languages)
    first_unsafe = None
    if rules.safety or rules.blocked_words:
        first_unsafe = unsafe_words(rules.blocked_words, rules.safety)

    def check(line: Line) -> Accepted | Refusal:
        if line.reason is not None:
            return Refusal(line.reason, line.detail)
        broken = _broken(line.text)
        if broken:
            return Refusal("not_text", broken)
        if len(line.text) > 4 * rules.max_characters:  # normalising a huge line is not worth it
            return _too_long(len(line.text), rules)
        text = normalise(line.text)
        if not text:
            return Refusal("empty")
        if len(text) > rules.max_characters:
            return _too_long(len(text), rules)
        words = len(_WORD.findall(text))
        if words < max(1, rules.min_words):
            return Refusal("too_short", f"{words} words, at least {max(1, rules.min_words)}")
        tokens = count_tokens(text) if count_tokens else None
        if tokens is not None and token_budget is not None and tokens > token_budget:
            return Refusal("too_many_tokens", f"{tokens} tokens, the encoder takes {token_budget}")
        unsafe = first_unsafe(text) if first_unsafe else None
        if unsafe:
            return Refusal("unsafe", f"the word {unsafe!r}")
        language = language_of(text, rules.languages)
        if rules.languages and language.sure and language.code not in rules.languages:
            return Refusal("language", f"{language.code}, wanted {', '.join(rules.languages)}")
        return Accepted(text, language.code, tokens)

    return check


def _check_languages(codes: tuple[str, ...]) -> None:
    if set(codes) <= set(USUAL):
        return
    unknown = sorted(set(codes) - known_codes())
    if unknown:
        raise SettingsError(
            f"collect.languages has {', '.join(map(repr, unknown))}, which no detector knows. "
            "Give ISO 639-1 codes such as 'en', or an empty list for any language."
        )


def _too_long(length: int, rules: CollectSettings) -> Refusal:
    return Refusal("too_long", f"{length:,} characters, at most {rules.max_characters:,}")


def _broken(text: str) -> str:
    """What makes a string no text at all, or ""."""
    if "\0" in text:
        return "it has NUL characters"
    if "\ufffd" in text:
        return "it has characters that were lost in an earlier conversion (U+FFFD)"
    if any("\ud800" <= c <= "\udfff" for c in text):
        return "it has halves of surrogate pairs"
    return ""


def escape(text: str) -> str:
    """The first 2,000 characters with control characters and surrogates written as escapes."""
    kept = text[:KEPT_CHARACTERS]
    if kept.isprintable():
        return kept
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in kept
    )[:KEPT_CHARACTERS]


def with_bands(rows: list[dict[str, Any]]) -> pa.Table:
    """RAW_PROMPTS from rows, with the band hashes of their texts."""
    bands = band_hashes([row["text"] for row in rows])
    table = pa.Table.from_pylist(rows, schema=RAW_PROMPTS)
    place = RAW_PROMPTS.get_field_index("minhash")
    return table.set_column(place, RAW_PROMPTS.field(place), bands)
