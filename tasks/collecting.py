"""Collect: lines of the sources − (`raw_prompts` ∪ `rejections`); a shard is a source.

The row of `sources` is appended last: a source that was cut short is read again, and what it gave
before is found to be there.
"""

import pyarrow as pa
from prefect import task

from models.collect import fingerprint, judge_source, settle, source_row
from models.tis import load_token_counter
from tasks.plan import Run, changed_sources, lake_of, now, plan_of
from tasks.progress import begin, stage
from warehouse import Warehouse

# By joining the unnested bands: `list_has_any` compares each pair of rows, which takes minutes.
NEAR = """
WITH new AS (SELECT unnest($ids) AS raw_prompt_id),
    bands AS (SELECT unnest($bands) AS band),
    near AS (
        SELECT raw_prompt_id
        FROM (SELECT raw_prompt_id, unnest(minhash) AS band FROM raw_prompts)
        SEMI JOIN bands USING (band)
        UNION
        FROM new
    )
SELECT raw_prompt_id, text, minhash FROM raw_prompts SEMI JOIN near USING (raw_prompt_id)
"""
KNOWN = """
SELECT id FROM (SELECT unnest($ids) AS id)
SEMI JOIN (
    SELECT occurrence_id AS id FROM occurrences UNION ALL SELECT rejection_id FROM rejections
) USING (id)
"""


@task(name="plan-collect", persist_result=False)
def plan_collect(run: Run) -> list[int]:
    """Indices of the sources that are new or have changed."""
    begin("collect", 0)
    return changed_sources(lake_of(run), plan_of(run.settings))


@task(name="collect", persist_result=False, task_run_name="collect-{index}")
def collect(run: Run, index: int) -> dict[str, int]:
    """Collect one source; returns how many raw prompts and rejections were added."""
    lake, settings = lake_of(run), run.settings
    rules, source = settings.collect, settings.collect.sources[index]
    tis = plan_of(settings).tis
    count_tokens = load_token_counter(settings.tis) if tis else None
    # Before reading: lines that a file gains meanwhile are then found by the next build.
    seen, started = fingerprint(source, rules.limit), now()
    judged = []
    with stage("collect", 0) as advance:
        for shard in judge_source(source, rules, count_tokens, tis.token_budget if tis else None):
            judged.append(shard)
            advance(shard.lines)
    lines = sum(shard.lines for shard in judged)
    settled = settle(
        judged,
        lambda new: near_prompts(lake, new),
        rules.near_duplicate_similarity,
        lambda ids: lake.query(KNOWN, {"ids": ids})["id"].to_pylist(),
    )
    added = lake.append_all(settled._asdict())
    lake.append("sources", source_row(source, lines, started, rules.limit, seen))
    return {name: added[name] for name in ("raw_prompts", "rejections")}


def near_prompts(lake: Warehouse, new: pa.Table) -> pa.Table:
    """Raw prompts of the warehouse that are among the new ones or share a MinHash band."""
    bands = {band for row in new["minhash"].to_pylist() for band in row}
    return lake.query(NEAR, {"ids": new["raw_prompt_id"].to_pylist(), "bands": sorted(bands)})
