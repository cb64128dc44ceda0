"""Content-addressed identities: BLAKE2b of what determines a row (DESIGN.md, "Identities").

An id never contains a URL, a key, a time or a code revision, so the same content has the same id
on every machine and after every upgrade.  What determines each kind of row is written once, here.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

DIGEST_BYTES = 16  # 128 bits: a collision among 10^9 rows has probability below 10^-20
SPLIT_SALT = "instructpe-split-v1"  # never changes: moving it would move rows between splits
SPLIT_TEST_PERCENT = 5
SPLIT_VALIDATION_PERCENT = 5


def content_id(kind: str, *parts: Any) -> str:
    """Hex digest (32 characters) of `kind` and the canonical JSON of `parts`.

    Mappings are sorted by key, so the order in which settings were written does not matter.
    Raises TypeError for values that JSON cannot hold and ValueError for NaN.
    """
    text = json.dumps(
        [kind, *parts], sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=DIGEST_BYTES
    ).hexdigest()


def raw_prompt_id(text: str) -> str:
    """A raw prompt is its normalised text."""
    return content_id("raw_prompt", text)


def occurrence_id(source_id: str, line: int, text: str) -> str:
    """A sighting is a text at a line (1-based; row number for tables) of a source.

    The text is part of it because files change: a line put in at the top must not make the lines
    behind it look as if they had been collected before.  Of a long line the first 2,000 characters.
    """
    return content_id("occurrence", source_id, line, text)


def call_id(body: Mapping[str, Any], sample_index: int) -> str:
    """A teacher call is its canonical request body and the index of the sample."""
    return content_id("call", dict(body), sample_index)


def triple_id(call: str, index: int) -> str:
    """A triple is its place in the answer of a call."""
    return content_id("triple", call, index)


def tis_id(weights_hash: str, settings: Mapping[str, Any]) -> str:
    """A text-to-image model is its weights and its resolved settings."""
    return content_id("tis", weights_hash, dict(settings))


def render_id(prompt: str, tis: str, seed: int) -> str:
    """A render is prompt, text-to-image model (weights and settings) and seed."""
    return content_id("render", prompt, tis, seed)


def scorer_id(name: str, weights_hash: str, revision: int) -> str:
    """A scorer is its name, its weights and the integer revision of its code."""
    return content_id("scorer", name, weights_hash, revision)


def score_id(render: str, scorer: str, intent: str | None) -> str:
    """A score is a render under a scorer; `intent` only where the scorer reads it, else None."""
    return content_id("score", render, scorer, intent)


def settings_hash(settings: Mapping[str, Any]) -> str:
    """Hash of resolved settings, as stored with every run."""
    return content_id("settings", dict(settings))


def decision_set_id(rule_hash: str, inputs: Sequence[str]) -> str:
    """A decision set is its rules and the identities of the inputs that it read."""
    return content_id("decision_set", rule_hash, list(inputs))


def split_of(root_raw_prompt_id: str) -> str:
    """`train`, `validation` or `test`, by hash of the *root* raw prompt with a fixed salt.

    Every triple that descends from one raw prompt is in one split, and none ever moves.
    """
    digest = hashlib.blake2b(f"{SPLIT_SALT}:{root_raw_prompt_id}".encode(), digest_size=8).digest()
    percent = int.from_bytes(digest, "big") % 100
    if percent < SPLIT_TEST_PERCENT:
        return "test"
    if percent < SPLIT_TEST_PERCENT + SPLIT_VALIDATION_PERCENT:
        return "validation"
    return "train"
