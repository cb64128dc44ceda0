"""Collect: lines of sources in, raw prompts, sightings and rejections out.

    judged = judge_source(source, rules, count_tokens, budget)    # shard by shard, bounded memory
    settled = settle(judged, existing, similarity)                # near duplicates, once a build

Every line that is read ends as exactly one row of `occurrences` or of `rejections`.  What this
room leaves out: storage (the caller appends the tables) and any decision about triples.
"""

from models.collect.judge import Judged, judge, judge_source
from models.collect.minhash import band_hashes, triple_bands
from models.collect.normalise import normalise
from models.collect.readers import read_source
from models.collect.settle import settle
from models.collect.source import Line, fingerprint, shards, source_id, source_row
from models.collect.triples import Columns, read_triples

__all__ = [
    "Columns",
    "Judged",
    "Line",
    "band_hashes",
    "fingerprint",
    "judge",
    "judge_source",
    "normalise",
    "read_source",
    "read_triples",
    "settle",
    "shards",
    "source_id",
    "source_row",
    "triple_bands",
]
