"""What the warehouse costs at 100,000 and 1,000,000 triples.

    python -m benchmarks.warehouse todo       (b) open and count every to-do, nothing to do
    python -m benchmarks.warehouse increment  (c) decide and publish after 1% more
    python -m benchmarks.warehouse publish    (d) decide and publish a million triples
    python -m benchmarks.warehouse queries    (e) the cookbook against plain DuckDB on Parquet

Method.  A lake is filled with synthetic rows by SQL: three triples a raw prompt, 15% with a
violation, 2% near duplicates, two seeds, an aesthetics scorer, a preference scorer that reads the
intent, and a held-out one, so that a million triples come with 2.4 million renders and 8.1 million
scores.  Filling is not measured.  (b), (c) and (d) are timed as whole processes started afresh:
imports, opening and closing included; peak memory is the process's own maximum resident size.
(e) runs each query of docs/sql.md that reads the published dataset, alternately on the lake and on
one Parquet file of the same rows, nine times each in one process, and compares the fastest of each
(on a machine that does other work too, the rest measure the other work), by wall and by CPU time.
Each case prints one JSON object.  `--home FOLDER` keeps the lake for the next run.
"""

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.settings import DecideSettings, WarehouseSettings
from warehouse import Warehouse

TIS, AESTHETICS, PREFERENCE, HELD_OUT, RECIPE = "tis", "looks", "liked", "held", "recipe"
SEEDS = (0, 1)
READS = {
    "tis_id": TIS,
    "seeds": SEEDS,
    "aesthetics_id": AESTHETICS,
    "preference_id": PREFERENCE,
}
LIMITS = {"todo": 1.5, "increment": 15.0, "publish": 60.0}  # seconds, whole process

# `i` numbers triples; three of them share a raw prompt. Texts are of the length of real ones.
FILL = (
    """
    INSERT INTO raw_prompts BY NAME SELECT md5('p' || p) AS raw_prompt_id,
        'a photograph of ' || md5('text' || p) || ' in the ' || md5('place' || p) AS "text",
        'en' AS language, 20 AS tokens,
        list_transform(range(16), b -> (hash(p, b) >> 1)::BIGINT) AS minhash,
        CASE p % 20 WHEN 0 THEN 'test' WHEN 1 THEN 'validation' ELSE 'train' END AS split,
        now() AS collected_at
    FROM range($first // 3, $last // 3) AS r(p)
    """,
    """
    INSERT INTO occurrences BY NAME SELECT md5('o' || p) AS occurrence_id, 'source' AS source_id,
        p AS line, md5('p' || p) AS raw_prompt_id, 'CC0-1.0' AS licence, now() AS collected_at
    FROM range($first // 3, $last // 3) AS r(p)
    """,
    """
    INSERT INTO teacher_calls BY NAME SELECT md5('a' || p) AS attempt_id, md5('c' || p) AS call_id,
        'recipe' AS recipe_id, md5('p' || p) AS raw_prompt_id,
        'a photograph of ' || md5('text' || p) || ' in the ' || md5('place' || p) AS subject,
        0 AS sample_index, 1 AS attempt, 'build' AS build_id, 'ok' AS status,
        repeat(md5('request' || p), 20) AS request, repeat(md5('answer' || p), 20) AS answer,
        now() AS called_at
    FROM range($first // 3, $last // 3) AS r(p)
    """,
    """
    INSERT INTO triples BY NAME SELECT md5('t' || i) AS triple_id, md5('c' || i // 3) AS call_id,
        'recipe' AS recipe_id, md5('p' || i // 3) AS raw_prompt_id, 1 AS turn,
        'a photograph of ' || md5('text' || i // 3) || ' in the ' || md5('place' || i // 3)
            AS raw_prompt,
        'add a ' || left(md5('unit' || i), 12) || ' to it' AS instruction,
        ['add', 'remove', 'replace', 'style', 'beautify'][1 + i % 5] AS edit_kind,
        'a photograph of ' || md5('text' || i // 3) || ' with ' || md5('unit' || i)
            AS target_prompt,
        'a picture of ' || md5('intent' || i) AS intent,
        [{'role': 'keep', 'text': 'photograph'}, {'role': 'add', 'text': left(md5('u' || i), 12)}]
            AS units,
        'teacher' AS units_source,
        CASE WHEN hash(i) % 100 < 15 THEN ['unit_missing: it'] ELSE [] END AS violations,
        list_transform(range(16), b -> (hash(
            CASE WHEN hash(i) % 100 BETWEEN 50 AND 51 THEN i // 2 ELSE i + 10000000000 END, b
        ) >> 1)::BIGINT) AS minhash,
        CASE i // 3 % 20 WHEN 0 THEN 'test' WHEN 1 THEN 'validation' ELSE 'train' END AS split,
        now() AS created_at
    FROM range($first, $last) AS r(i)
    """,
    """
    INSERT INTO renders BY NAME SELECT md5(prompt || seed) AS render_id, prompt, 'tis' AS tis_id,
        seed, 'ok' AS status, md5(prompt || seed) || md5(seed || prompt) AS image_sha256,
        64 AS width, 64 AS height, 1 AS attempt, now() AS rendered_at
    FROM (
        SELECT DISTINCT unnest([raw_prompt, target_prompt]) AS prompt FROM triples
        WHERE len(violations) = 0 AND created_at >= $since
    ), (SELECT unnest([0, 1]::BIGINT[]) AS seed)
    """,
    """
    INSERT INTO scores BY NAME SELECT md5(render_id || scorer) AS score_id, render_id,
        scorer AS scorer_id, round((hash(render_id, scorer) % 10000) / 1000, 4) AS "value",
        'ok' AS status, 1 AS attempt, now() AS scored_at
    FROM renders, (SELECT unnest(['looks', 'held']) AS scorer) WHERE rendered_at >= $since
    """,
    """
    INSERT INTO scores BY NAME SELECT md5(render_id || intent) AS score_id, render_id,
        'liked' AS scorer_id, intent, round((hash(render_id, intent) % 10000) / 1000, 4) AS "value",
        'ok' AS status, 1 AS attempt, now() AS scored_at
    FROM (
        SELECT DISTINCT unnest([raw_prompt, target_prompt]) AS prompt, intent FROM triples
        WHERE len(violations) = 0 AND created_at >= $since
    ) JOIN renders USING (prompt)
    """,
)


def fill(lake: Warehouse, first: int, last: int) -> None:
    """Synthetic triples number `first` to `last` with all that belongs to them."""

    def work(connection: Any) -> None:
        since = connection.execute("SELECT now()").fetchall()[0][0]
        for statement in FILL:
            values = {"first": first, "last": last, "since": since}
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used)
        if first == 0:
            connection.execute(
                "INSERT INTO scorers BY NAME SELECT unnest(['looks', 'liked', 'held']) AS "
                "scorer_id, unnest([false, true, false]) AS reads_intent, 'x' AS name"
            )
            connection.execute(
                "INSERT INTO sources BY NAME SELECT 'source' AS source_id, 'synthetic' AS name, "
                "'f' AS fingerprint, now() AS collected_at"
            )

    lake.commits.transaction(work)


def count_all(lake: Warehouse) -> dict[str, int]:
    """What `diffchat build` asks before it does anything."""
    return {
        "teach": lake.count_todo("teach", recipe_id=RECIPE),
        "follow_up": lake.count_todo("follow_up", recipe_id=RECIPE, share=0.0),
        "render": lake.count_todo("render", tis_id=TIS, seeds=SEEDS),
        "score": lake.count_todo(
            "score", tis_id=TIS, seeds=SEEDS, scorer_ids=(AESTHETICS, PREFERENCE, HELD_OUT)
        ),
        "decide": int(lake.decision_pending(DecideSettings(), **READS)),
    }


def decide_and_publish(lake: Warehouse) -> dict[str, Any]:
    start = time.perf_counter()
    decided = lake.decide(DecideSettings(), **READS)
    middle = time.perf_counter()
    audited: list[int] = []
    version = lake.publish(decided, audit=lambda rows: audited.append(rows.num_rows))
    return {
        "version": version,
        "rows_audited": audited,
        "decide_s": round(middle - start, 2),
        "publish_s": round(time.perf_counter() - middle, 2),
    }


def inner(step: str, home: Path) -> dict[str, Any]:
    """One measured process."""
    with Warehouse.open(WarehouseSettings(), home) as lake:
        return count_all(lake) if step == "count" else decide_and_publish(lake)


def measured(step: str, home: Path) -> dict[str, Any]:
    """Run `inner` in a fresh process: seconds from start to end, CPU seconds, memory, answer."""
    command = [sys.executable, "-m", "benchmarks.warehouse", "--inner", step, "--home", str(home)]
    start = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 2), **json.loads(done.stdout.splitlines()[-1])}


def case_todo(home: Path, triples: int) -> dict[str, Any]:
    _filled(home, triples)
    measured("publish", home)
    runs = [measured("count", home) for _ in range(5)]
    return runs[0] | {"seconds": statistics.median(run["seconds"] for run in runs)}


def case_increment(home: Path, triples: int) -> dict[str, Any]:
    _filled(home, triples)
    measured("publish", home)
    with Warehouse.open(WarehouseSettings(), home) as lake:
        have = lake.query("SELECT count(*) FROM triples").column(0)[0].as_py()
        fill(lake, have, have + triples // 100 // 3 * 3)
    return measured("publish", home)


def case_publish(home: Path, triples: int) -> dict[str, Any]:
    _filled(home, triples)
    return measured("publish", home)


def case_queries(home: Path, triples: int) -> dict[str, Any]:
    """[lake ms, plain ms, ratio], fastest of nine; `over` lists those beyond 1.3 × + 20 ms."""
    import duckdb

    _filled(home, triples)
    measured("publish", home)
    report: dict[str, Any] = {"queries": {}, "over": [], "over_cpu": []}
    with Warehouse.open(WarehouseSettings(), home, read_only=True) as lake:
        file = home / "instructpe.parquet"
        if not file.exists():
            plain = duckdb.connect()
            rows = lake.query("FROM instructpe")
            plain.register("answer", rows)
            plain.execute(f"COPY answer TO '{file}' (FORMAT parquet, COMPRESSION snappy)")
            plain.close()
        plain = duckdb.connect()
        plain.execute(f"CREATE VIEW instructpe AS FROM '{file}'")
        for name, sql in cookbook().items():
            ours, theirs = [], []
            for _ in range(9):
                ours.append(_cost(lambda sql=sql: lake.query(sql)))
                theirs.append(_cost(lambda sql=sql: plain.execute(sql).to_arrow_table()))
            entry = {}
            for place, clock in enumerate(("wall", "cpu")):
                a, b = (min(cost[place] for cost in costs) for costs in (ours, theirs))
                entry[clock] = [round(a * 1e3, 1), round(b * 1e3, 1), round(a / b, 2)]
                if a > 1.3 * b + 0.020:
                    report["over" if clock == "wall" else "over_cpu"].append(name)
            report["queries"][name] = entry
    return report


def cookbook() -> dict[str, str]:
    """Title → query of docs/sql.md, those that read nothing but the published dataset."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "sql.md").read_text()
    found = re.findall(r"^### (.+?)\n.*?```sql\n(.+?)```", text, re.MULTILINE | re.DOTALL)
    tables = r"\b(triples|raw_prompts|decisions|scores|renders|dataset_versions|published_rows)\b"
    return {
        title: sql.strip().rstrip(";")
        for title, sql in found
        if "instructpe" in sql and not re.search(tables, sql)
    }


def _cost(work: Callable[[], Any]) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _filled(home: Path, triples: int) -> None:
    with Warehouse.open(WarehouseSettings(), home) as lake:
        have = lake.query("SELECT count(*) FROM triples").column(0)[0].as_py()
        if have == 0:
            step = 99_999  # a multiple of three, so that a raw prompt is in one piece
            for first in range(0, triples, step):
                fill(lake, first, min(first + step, triples // 3 * 3))


CASES = {
    "todo": (case_todo, 100_000),
    "increment": (case_increment, 100_000),
    "publish": (case_publish, 1_000_000),
    "queries": (case_queries, 1_000_000),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("case", nargs="?", choices=sorted(CASES))
    parser.add_argument("--home", type=Path)
    parser.add_argument("--triples", type=int)
    parser.add_argument("--inner")
    options = parser.parse_args()
    if options.inner:
        answer = inner(options.inner, options.home)
        used = resource.getrusage(resource.RUSAGE_SELF)
        own = {"cpu_s": round(used.ru_utime + used.ru_stime, 2)}
        print(json.dumps({"peak_mb": round(used.ru_maxrss / 1024), **own, **answer}))
        return
    run, triples = CASES[options.case]
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        answer = run(home, options.triples or triples)
    limit = LIMITS.get(options.case)
    passed = answer["seconds"] <= limit if limit else not answer["over"]
    print(json.dumps({"case": options.case, "limit_s": limit, "passed": passed, **answer}))


if __name__ == "__main__":
    main()
