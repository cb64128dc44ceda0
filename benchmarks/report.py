"""How long the report of 10,000 cases × 6 methods takes from cached scores, and how much memory.

    python -m benchmarks.report [CASES]

Fills a lake in a temporary home with cases, answers, renders (one shared picture) and scores of
the embedded profile's scorers, two seeds, then measures what `diffchat evaluate` does once nothing
is left to render or score: gathering, statistics, page, Parquet.
"""

import io
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from schemas.identity import content_id, render_id, score_id
from schemas.records import (
    EVALUATION_CASES,
    EVALUATION_OUTPUTS,
    RENDERS,
    SCORERS,
    SCORES,
)
from schemas.settings import Settings, load_settings

STYLES = ("golden light", "soft shadows", "vivid colors", "fine detail", "neon glow", "")
COLOURS = ("red", "blue", "green", "white", "black", "yellow")
THINGS = ("car", "house", "boat", "cat", "bird", "tree", "rocket")
UNIT_SCORES = 2  # units a case whose pictures are asked for


def main(cases: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DIFFCHAT_HOME"] = folder
        methods = ", ".join(
            ['{kind = "raw"}', '{kind = "pasted"}', '{kind = "teacher"}']
            + [f'{{kind = "endpoint", model = "m{i}", base_url = "http://127.0.0.1:9/v1"}}'
               for i in range(3)]
        )  # fmt: skip
        settings = load_settings("embedded", {"evaluation.methods": _toml(methods)})
        started = time.perf_counter()
        run = fill(settings, Path(folder), cases)
        print(f"filled in {time.perf_counter() - started:.0f} s", flush=True)
        started = time.perf_counter()
        if os.fork() == 0:  # its own process, so that filling does not count as memory
            from tasks.evaluation_results import write_report

            row = write_report(run, time.time())
            page = Path(folder) / row["report"] / "index.html"
            used = resource.getrusage(resource.RUSAGE_SELF)
            peak = used.ru_maxrss / 1024
            print(
                f"{cases} cases × 6 methods: {time.perf_counter() - started:.1f} s "
                f"({used.ru_utime + used.ru_stime:.1f} s of CPU), "
                f"peak {peak:.0f} MB, page {page.stat().st_size / 1e6:.1f} MB",
                flush=True,
            )
            os._exit(0)
        os.wait()


def _toml(methods: str):
    from schemas.settings import parse_value

    return parse_value(f"[{methods}]")


def fill(settings: Settings, home: Path, count: int):
    """A lake with everything of an evaluation but its report; returns the run."""
    from models.evaluation.hacking import trait_id
    from models.evaluation.metrics import TRAITS
    from tasks import evaluation_plan as plans
    from tasks.plan import lake_of

    lines = home / "cases.jsonl"
    with lines.open("w") as file:
        for i in range(count):
            colour, other = COLOURS[i % 6], COLOURS[(i + 1) % 6]
            thing = THINGS[i % 7]
            file.write(
                f'{{"prompt": "a {colour} {thing} number {i}", "instruction": "make the {thing} '
                f'{other}", "target": "a {other} {thing} number {i}, {STYLES[i % 6]}"}}\n'
            )
    run = plans.evaluation_run(settings, home, (), str(lines))
    lake = lake_of(run)
    plan = plans.evaluation_plan(run)
    lake.append("evaluation_cases", pa.Table.from_pylist(list(plan.cases), schema=EVALUATION_CASES))
    scorers = [
        {"scorer_id": s.scorer_id, "name": s.name, "measures": s.measures,
         "reads_intent": s.reads_intent} for s in plan.scorers
    ] + [{"scorer_id": trait_id(n), "name": n, "measures": "trait", "reads_intent": False}
         for n in TRAITS]  # fmt: skip
    lake.append("scorers", pa.Table.from_pylist(scorers, schema=SCORERS))
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(buffer, "PNG")
    sha = lake.images.put(buffer.getvalue())
    rng = np.random.default_rng(0)
    for number, method in enumerate(plan.methods):
        _fill_method(lake, plan, number, method, scorers, sha, rng)
    return run


def _fill_method(lake, plan, number, method, scorers, sha, rng) -> None:
    outputs, renders, scores = [], [], []
    alignment = plan.scorer_of("alignment")
    for i, case in enumerate(plan.cases):
        style = STYLES[(i + number) % 6]
        prompt = {0: case["raw_prompt"], 1: f"{case['raw_prompt']}, {case['instruction']}"}.get(
            number, f"{case['target_prompt']} {number} {style}"
        )
        outputs.append(
            {"output_id": content_id("output", method.method_id, case["case_id"]),
             "method_id": method.method_id, "case_id": case["case_id"], "attempt": 1,
             "status": "ok", "prompt": prompt, "latency_ms": 5.0, "tokens": 12}
        )  # fmt: skip
        for seed in plan.run.settings.evaluation.seeds:
            render = render_id(prompt, plan.tis[0].tis_id, seed)
            renders.append(
                {"render_id": render, "prompt": prompt, "tis_id": plan.tis[0].tis_id,
                 "seed": seed, "status": "ok", "image_sha256": sha, "attempt": 1}
            )  # fmt: skip
            asked = [(s["scorer_id"], case["intent"] if s["reads_intent"] else None)
                     for s in scorers]  # fmt: skip
            asked += [(alignment, u["text"]) for u in case["units"][:UNIT_SCORES]]
            values = rng.normal(0.1 * number, 1, size=len(asked))
            scores += [
                {"score_id": score_id(render, scorer, intent), "render_id": render,
                 "scorer_id": scorer, "intent": intent, "value": round(float(value), 4),
                 "status": "ok", "attempt": 1}
                for (scorer, intent), value in zip(asked, values, strict=True)
            ]  # fmt: skip
    lake.append("evaluation_outputs", pa.Table.from_pylist(outputs, schema=EVALUATION_OUTPUTS))
    lake.append("renders", pa.Table.from_pylist(renders, schema=RENDERS))
    lake.append("scores", pa.Table.from_pylist(scores, schema=SCORES))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
