"""What a build costs beside its work, and that an increment does only what is new.

    python -m benchmarks.build nothing      (b) `diffchat build` with nothing to do, 100,000 triples
    python -m benchmarks.build increment    (c) 1% new prompts: exactly the new ids are made
    python -m benchmarks.build overhead     (g) Prefect and warehouse in a build with rendering

Method.  (b) and (c) fill a lake with synthetic rows (`benchmarks.warehouse.fill`) under the ids of
the embedded profile, so that the real command finds nothing to do; (b) is the wall and CPU time of
the whole process, median of five; (c) then adds a file of new prompts and counts the rows made of
others (there must be none).  (g) times a build and, within it, the work that any such build must do
(teacher's client, loading, pipeline, scorers: `benchmarks.timed_build`); the rest is the overhead.
Both in one process, because the speed of a machine in two runs differs by more than what is asked.
Each case prints one JSON object.  `--home FOLDER` keeps the lake; `--triples` and `--prompts` make
a case smaller, to see that it runs.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.warehouse import AESTHETICS, PREFERENCE, RECIPE, TIS, fill
from models.collect import fingerprint, source_id
from schemas.identity import split_of
from schemas.settings import Settings, load_settings
from tasks.plan import decide_arguments, plan_of
from warehouse import Warehouse

TRIPLES = 100_000
OVERHEAD = 1_000  # prompts: about ten minutes on two cores
ROOT = Path(__file__).resolve().parent.parent


def settings_of(folder: Path) -> Settings:
    """The embedded profile on one source file in `folder`."""
    path = folder / "prompts.txt"
    if not path.exists():
        path.write_text("a red house in a meadow\n")
    sources = [{"location": str(path), "licence": "CC0-1.0"}]
    changes = {"collect.sources": sources, "teacher.follow_up_share": 0.0}
    return load_settings("embedded", changes, environ={})


def fill_as_built(lake: Warehouse, settings: Settings, triples: int) -> None:
    """Synthetic triples that the profile itself seems to have made, and published."""
    fill(lake, 0, triples)
    plan = plan_of(settings)
    assert plan.tis is not None
    used = decide_arguments(plan)
    others = [s.scorer_id for s in plan.scorers if s.scorer_id not in used.values()]
    source = settings.collect.sources[0]
    renames = [
        ("teacher_calls", "recipe_id", RECIPE, plan.recipe.recipe_id),
        ("triples", "recipe_id", RECIPE, plan.recipe.recipe_id),
        ("renders", "tis_id", TIS, plan.tis.tis_id),
        ("occurrences", "source_id", "source", source_id(source)),
        ("sources", "source_id", "source", source_id(source)),
        ("sources", "fingerprint", "f", fingerprint(source)),
    ]
    liked = used["preference_id"]
    for old, new in ((AESTHETICS, used["aesthetics_id"]), (PREFERENCE, liked)):
        renames += [(table, "scorer_id", old, new) for table in ("scores", "scorers")]

    def work(connection: Any) -> None:
        for table, column, old, new in renames:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [new, old])
        for scorer in others:  # they read the intent, as the preference scorer does
            for table, replaced in (
                ("scorers", ""),
                ("scores", ", md5(score_id || $1) AS score_id"),
            ):
                connection.execute(
                    f"INSERT INTO {table} BY NAME SELECT * REPLACE ($1 AS scorer_id{replaced}) "
                    f"FROM {table} WHERE scorer_id = $2",
                    [scorer, liked],
                )
        # The audit of the next version computes the splits again.
        ids = connection.execute("SELECT raw_prompt_id FROM raw_prompts").to_arrow_table()[0]
        splits = [split_of(id) for id in ids.to_pylist()]
        connection.register("splits", pa.table({"raw_prompt_id": ids, "split": splits}))
        for table in ("raw_prompts", "triples"):
            connection.execute(
                f"UPDATE {table} SET split = s.split FROM splits AS s "
                f"WHERE {table}.raw_prompt_id = s.raw_prompt_id"
            )
        connection.unregister("splits")

    lake.commits.transaction(work)
    lake.publish(lake.decide(settings.decide, **used), profile="synthetic")


def command(
    folder: Path, *words: str, program: tuple[str, ...] = ("-m", "app.cli")
) -> dict[str, Any]:
    """Run `diffchat build --json` as a process; its answer, seconds, CPU seconds, peak MB."""
    environment = os.environ | {"DIFFCHAT_HOME": str(folder / "home")}
    used, started = children_s(), time.perf_counter()
    out = subprocess.run(
        [sys.executable, *program, "build", "--json",
         "--prompts", str(folder / "prompts.txt"), "--licence", "CC0-1.0",
         "--set", "teacher.follow_up_share=0.0", *words],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(out.stdout) | {
        "whole_s": round(time.perf_counter() - started, 2),
        "cpu_s": round(children_s() - used, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
    }


def prepared(folder: Path, triples: int) -> Settings:
    settings = settings_of(folder)
    with Warehouse.open(settings.warehouse, folder / "home") as lake:
        if lake.latest() is None:
            fill_as_built(lake, settings, triples)
    return settings


def nothing(folder: Path, triples: int, _: int) -> dict[str, Any]:
    """(b) Whole process, nothing to do."""
    prepared(folder, triples)
    runs = [command(folder) for _ in range(5)]
    assert all(run["did"] == "nothing" for run in runs), runs[0]
    return {
        "case": "nothing",
        "triples": triples,
        "whole_s": statistics.median(run["whole_s"] for run in runs),
        "cpu_s": statistics.median(run["cpu_s"] for run in runs),
        "limit_s": 3.0,
    }


def prompts(count: int) -> list[str]:
    """The first raw prompts of the embedded world's file."""
    return (ROOT / "profiles" / "data" / "world_prompts.txt").read_text().splitlines()[:count]


NEW = """
WITH fresh AS (FROM triples WHERE created_at > $since),
    prompts AS (SELECT raw_prompt AS p FROM fresh UNION SELECT target_prompt FROM fresh)
SELECT
    (SELECT count(*) FROM raw_prompts WHERE collected_at > $since) AS raw_prompts,
    (SELECT count(*) FROM teacher_calls WHERE called_at > $since) AS calls,
    (SELECT count(*) FROM teacher_calls AS c ANTI JOIN (
        FROM raw_prompts WHERE collected_at > $since) USING (raw_prompt_id)
     WHERE called_at > $since) AS calls_of_others,
    (SELECT count(*) FROM renders WHERE rendered_at > $since) AS renders,
    (SELECT count(*) FROM renders WHERE rendered_at > $since
     AND prompt NOT IN (SELECT p FROM prompts)) AS renders_of_others,
    (SELECT count(*) FROM scores WHERE scored_at > $since) AS scores,
    (SELECT count(*) FROM scores AS s ANTI JOIN (
        FROM renders WHERE rendered_at > $since) USING (render_id)
     WHERE scored_at > $since) AS scores_of_others
"""


def increment(folder: Path, triples: int, new: int) -> dict[str, Any]:
    """(c) New prompts among the triples: exactly their calls, renders and scores."""
    settings = prepared(folder, triples)
    with (folder / "prompts.txt").open("a") as file:
        file.writelines(f"{line}\n" for line in prompts(new or triples // 300))  # 1%
    since = datetime.now(UTC)
    built = command(folder)
    with Warehouse.open(settings.warehouse, folder / "home", read_only=True) as lake:
        counts = lake.query(NEW, {"since": since}).to_pylist()[0]
    others = {name: count for name, count in counts.items() if name.endswith("_of_others")}
    return {
        "case": "increment",
        "triples": triples,
        **counts,
        "nothing_of_others": not any(others.values()),
        "whole_s": built["whole_s"],
        "cpu_s": built["cpu_s"],
        "peak_mb": built["peak_mb"],
    }


def overhead(folder: Path, _: int, number: int) -> dict[str, Any]:
    """(g) What a build takes beyond its work, and beyond 12 s of start-up."""
    chosen = prompts(number or OVERHEAD)
    (folder / "prompts.txt").write_text("".join(f"{line}\n" for line in chosen))
    clocks = folder / "work.json"
    built = command(folder, program=("-m", "benchmarks.timed_build", str(clocks)))
    work = json.loads(clocks.read_text())
    start_s = 12.0  # what the issue of the first build allows for start-up
    return {
        "case": "overhead",
        "prompts": len(chosen),
        "build_s": built["whole_s"],
        "build_cpu_s": built["cpu_s"],
        **work,
        "overhead_s": round(built["whole_s"] - work["work_s"], 1),
        "overhead_beyond_start": round(
            max(0.0, built["whole_s"] - start_s - work["work_s"]) / work["work_s"], 3
        ),
        "limit": 0.05,
    }


def children_s() -> float:
    """CPU seconds of the child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


CASES = {"nothing": nothing, "increment": increment, "overhead": overhead}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--home", type=Path, help="keep the lake here (default: a temporary one)")
    parser.add_argument("--triples", type=int, default=TRIPLES, help="in the lake beforehand")
    parser.add_argument("--prompts", type=int, default=0, help="new ones; 0: as in the method")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.home or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        case = CASES[arguments.case]
        print(json.dumps(case(folder, arguments.triples, arguments.prompts)))


if __name__ == "__main__":
    main()
