"""Settle near duplicates over all shards of a build and against the warehouse.

Who stays: a prompt that the warehouse has always does; among new ones, in the order of their ids,
each that is no near duplicate of one kept before it.  Ids are hashes of the text, so the outcome
depends neither on the order of the shards nor on where their borders are.  It does depend on the
build in which a prompt first came, for what is in the warehouse is never taken back.

For `existing` join the unnested bands; `list_has_any` over a warehouse of 100,000 prompts takes
minutes where this takes a third of a second:

    SELECT raw_prompt_id, text, minhash FROM raw_prompts WHERE raw_prompt_id IN (
        SELECT raw_prompt_id FROM (SELECT raw_prompt_id, unnest(minhash) AS band FROM raw_prompts)
        WHERE band IN (SELECT unnest(minhash) FROM new))
    OR raw_prompt_id IN (SELECT raw_prompt_id FROM new)
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pyarrow as pa

from models.collect.judge import Judged, escape
from models.collect.minhash import shingles, similarity
from schemas.records import OCCURRENCES, RAW_PROMPTS, REJECTIONS

# Rows of raw_prompts (raw_prompt_id, text, minhash) that share a band with the given ones, and
# those themselves where the warehouse has them.
Existing = Callable[[pa.Table], pa.Table]
# Which of these ids of lines are in `occurrences` or `rejections` already.
Known = Callable[[list[str]], Collection[str]]


def settle(
    judged: Iterable[Judged],
    existing: Existing | None = None,
    threshold: float = 0.8,
    known: Known | None = None,
) -> Judged:
    """One `Judged` of many, without near duplicates; their sightings become rejections.

    `existing(new)` is asked once with the columns raw_prompt_id and minhash of all new prompts.
    `threshold` is Jaccard similarity of word 3-grams; 1 keeps all but exact duplicates.
    `known(ids)` names the lines that were collected before: they keep the outcome they had, also
    when the rules have changed since.
    """
    merged = _merge(judged)
    if known:
        merged = _without_known(merged, known)
    if threshold >= 1 or not len(merged.raw_prompts):
        return merged
    new = merged.raw_prompts.select(["raw_prompt_id", "minhash"])
    lost = _losers(merged.raw_prompts, existing(new) if existing else None, threshold)
    return _refuse(merged, lost) if lost else merged


def _merge(judged: Iterable[Judged]) -> Judged:
    shards = list(judged)
    prompts = pa.concat_tables([RAW_PROMPTS.empty_table(), *(s.raw_prompts for s in shards)])
    seen: set[str] = set()
    first = [
        i
        for i, key in enumerate(prompts["raw_prompt_id"].to_pylist())
        if not (key in seen or seen.add(key))
    ]
    prompts = prompts.take(pa.array(first, pa.int64())).sort_by("raw_prompt_id")
    return Judged(
        prompts,
        pa.concat_tables([OCCURRENCES.empty_table(), *(s.occurrences for s in shards)]),
        pa.concat_tables([REJECTIONS.empty_table(), *(s.rejections for s in shards)]),
    )


def _without_known(merged: Judged, known: Known) -> Judged:
    sightings = merged.occurrences["occurrence_id"].to_pylist()
    refused = merged.rejections["rejection_id"].to_pylist()
    have = set(known(sightings + refused))
    if not have:
        return merged
    occurrences = _keep(merged.occurrences, [key not in have for key in sightings])
    rejections = _keep(merged.rejections, [key not in have for key in refused])
    used = set(occurrences["raw_prompt_id"].to_pylist())
    ids = merged.raw_prompts["raw_prompt_id"].to_pylist()
    return Judged(_keep(merged.raw_prompts, [key in used for key in ids]), occurrences, rejections)


def _keep(table: pa.Table, rows: list[bool]) -> pa.Table:
    return table.filter(pa.array(rows, pa.bool_()))


# Prompts made from one template share bands by the thousand without being near duplicates. Only the
# first of a band, by id, are compared: a near duplicate shares other, emptier bands as well.
MAX_IN_BAND = 64


class _Kept:
    """Prompts that stay, found by band."""

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.by_band: dict[int, list[int]] = {}
        self.ids: list[str] = []
        self.sets: list[frozenset[str]] = []

    def add(self, key: str, grams: frozenset[str], bands: list[int]) -> None:
        place = len(self.ids)
        self.ids.append(key)
        self.sets.append(grams)
        for band in bands:
            places = self.by_band.setdefault(band, [])
            if len(places) < MAX_IN_BAND:
                places.append(place)

    def twin(self, grams: frozenset[str], bands: list[int]) -> tuple[str, float] | None:
        """The kept prompt nearest to these shingles, if it is near enough; ties by id."""
        near = {place for band in bands for place in self.by_band.get(band, ())}
        best = None
        for place in near:
            size = len(self.sets[place])
            # Sets of too different a size cannot be similar: no need to intersect them.
            if min(size, len(grams)) < self.threshold * max(size, len(grams)):
                continue
            likeness = similarity(grams, self.sets[place])
            if likeness >= self.threshold:
                found = (-likeness, self.ids[place])
                best = found if best is None or found < best else best
        return (best[1], -best[0]) if best else None


def _losers(
    prompts: pa.Table, existing: pa.Table | None, threshold: float
) -> dict[str, tuple[str, float]]:
    """raw_prompt_id of each near duplicate → (id of the prompt that stays, similarity)."""
    kept = _Kept(threshold)
    for row in existing.sort_by("raw_prompt_id").to_pylist() if existing is not None else ():
        kept.add(row["raw_prompt_id"], shingles(row["text"]), row["minhash"])
    have = set(kept.ids)
    lost = {}
    for row in prompts.select(["raw_prompt_id", "text", "minhash"]).to_pylist():
        key, bands = row["raw_prompt_id"], row["minhash"]
        if key in have:
            continue
        grams = shingles(row["text"])
        twin = kept.twin(grams, bands)
        if twin:
            lost[key] = twin
        else:
            kept.add(key, grams, bands)
    return lost


def _refuse(merged: Judged, lost: dict[str, tuple[str, float]]) -> Judged:
    stays = [key not in lost for key in merged.raw_prompts["raw_prompt_id"].to_pylist()]
    seen = [key not in lost for key in merged.occurrences["raw_prompt_id"].to_pylist()]
    gone = _keep(merged.raw_prompts, [not stay for stay in stays])
    texts = dict(zip(gone["raw_prompt_id"].to_pylist(), gone["text"].to_pylist(), strict=True))
    rows = [
        _rejection(row, texts[row["raw_prompt_id"]], lost[row["raw_prompt_id"]])
        for row in _keep(merged.occurrences, [not stay for stay in seen]).to_pylist()
    ]
    refused = pa.Table.from_pylist(rows, schema=REJECTIONS)
    return Judged(
        _keep(merged.raw_prompts, stays),
        _keep(merged.occurrences, seen),
        pa.concat_tables([merged.rejections, refused]),
    )


def _rejection(sighting: dict[str, Any], text: str, twin: tuple[str, float]) -> dict[str, Any]:
    return {
        "rejection_id": sighting["occurrence_id"],
        "source_id": sighting["source_id"],
        "line": sighting["line"],
        "text": escape(text),
        "reason": "near_duplicate",
        "detail": f"similarity {twin[1]:.2f} to raw prompt {twin[0]}",
        "collected_at": sighting["collected_at"],
    }
