"""Shards: the part of a stage's to-do that one task run works on.

A row belongs to the shard that a checksum of its key says (`warehouse.todo`), so shards are the
same on every machine and independent of each other.  What a shard works on it has claimed: of two
builds at once, the second skips what the first is at, and waits for it at the end.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tasks.plan import Plan, Run, lake_of, plan_of
from warehouse import Warehouse
from warehouse.todo import KEY

LEASE_S = 900.0  # longer than any shard; of a dead process the claim is void at once
WAIT_S = 0.5

Row = dict[str, Any]


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
    run: Run, stage: str, shard: int, of: int, work: Callable[[Warehouse, Plan, list[Row]], int]
) -> int:
    """Claim and work until the shard has no to-do left; returns what `work` counted.

    Each row is worked on once: what fails is tried again by a later build.  Rows that another
    build holds are waited for: it commits them, or its claim lapses.
    """
    lake, plan, key = lake_of(run), plan_of(run.settings), KEY[stage]

    def todo() -> list[Row]:
        return lake.todo(stage, shard=(shard, of), **filters(run, stage)).to_pylist()

    return work_off(lake, stage, lambda row: row[key], todo, lambda rows: work(lake, plan, rows))


def work_off(
    lake: Warehouse, stage: str, key: Callable[[Row], str], todo: Callable[[], list[Row]],
    work: Callable[[list[Row]], int],
) -> int:  # fmt: skip
    """Claim and work on what `todo` lists until it lists nothing that was not tried here.

    Where all of it was ours, that is not asked again: the query is most of what a shard costs.
    """
    done, tried, others = 0, set[str](), True
    while others and (rows := [row for row in todo() if key(row) not in tried]):
        with claimed(lake, stage, [key(row) for row in rows]) as mine:
            ours = [row for row in rows if key(row) in mine]
            if ours:
                done += work(ours)
                tried |= mine
        others = len(ours) < len(rows)
        if not ours:
            time.sleep(WAIT_S)
    return done
