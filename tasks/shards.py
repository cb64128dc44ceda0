"""Shards: the part of a stage's to-do that one task run works on.

A row belongs to the shard that a checksum of its key says, so shards are the same on every
machine and independent of each other.  What a shard works on it has claimed: of two builds at
once, the second skips what the first is at, and waits for it at the end.
"""

import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tasks.plan import Plan, Run, lake_of, plan_of
from warehouse import Warehouse

LEASE_S = 900.0  # longer than any shard; of a dead process the claim is void at once
WAIT_S = 0.5

Row = dict[str, Any]


def todo_rows(run: Run, stage: str, key: Callable[[Row], str], shard: int, of: int) -> list[Row]:
    """The rows of a stage's to-do that belong to shard `shard` of `of`."""
    rows = lake_of(run).todo(stage, **filters(run, stage)).to_pylist()
    return [row for row in rows if zlib.crc32(key(row).encode()) % of == shard]


def filters(run: Run, stage: str) -> dict[str, Any]:
    """Arguments of `Warehouse.todo` in this run: the plan's, and the attempts of this build."""
    wanted = plan_of(run.settings).filters(stage)
    if stage in ("teach", "follow_up", "beautify"):
        wanted |= {"build_id": run.build_id, "retry_failed": run.retry_failed}
    elif run.retry_failed:
        wanted |= {"since": run.started_at}
    return wanted


@contextmanager
def claimed(lake: Warehouse, stage: str, ids: Sequence[str]) -> Iterator[set[str]]:
    """Claim `ids`; yields those granted and releases them when the work is committed or failed."""
    granted = lake.claims.take(stage, ids, lease_s=LEASE_S)
    try:
        yield set(granted)
    finally:
        lake.claims.release(stage, granted)


def until_done(
    run: Run, stage: str, key: Callable[[Row], str], shard: int, of: int,
    work: Callable[[Warehouse, Plan, list[Row]], int],
) -> int:  # fmt: skip
    """Claim and work until the shard has no to-do left; returns what `work` counted.

    Each row is worked on once: what fails is tried again by a later build.  Rows that another
    build holds are waited for: it commits them, or its claim lapses.
    """
    lake, plan, done = lake_of(run), plan_of(run.settings), 0
    tried: set[str] = set()
    while rows := [r for r in todo_rows(run, stage, key, shard, of) if key(r) not in tried]:
        with claimed(lake, stage, [key(row) for row in rows]) as mine:
            ours = [row for row in rows if key(row) in mine]
            if ours:
                done += work(lake, plan, ours)
                tried |= mine
        if not ours:
            time.sleep(WAIT_S)
    return done
