"""The work of a build without the build: teacher, pipeline and scorers in plain loops, in memory.

What `benchmarks.build overhead` compares with.  No lake, no journal, no Prefect, no audit; the same
requests to the same offline teacher, the same prompts rendered and scored once each.
"""

import asyncio
import json
import time
from typing import Any

from models.collect import judge, read_source
from models.scorers import load_scorer
from models.teacher.client import Request, ask
from models.teacher.offline import start_offline_teacher
from models.teacher.recipes import teacher_body
from models.tis import load_tis
from schemas.identity import call_id
from schemas.settings import Settings


def plain_build(settings: Settings) -> float:
    """Seconds from sources to scores."""
    started = time.perf_counter()
    prompts = collected(settings)
    triples = taught(prompts, settings)
    tis = load_tis(settings.tis)
    scorers = [load_scorer(scorer) for scorer in settings.scorers]
    wanted = sorted({text for t in triples for text in (t["raw"], t["target_prompt"])})
    pairs = [(prompt, seed) for prompt in wanted for seed in settings.render.seeds]
    images = dict(zip(pairs, tis.render(*map(list, zip(*pairs, strict=True))), strict=True))
    asked = sorted({(t[side], t["intent"]) for t in triples for side in ("raw", "target_prompt")})
    for scorer in scorers:
        if scorer.reads_intent:
            jobs = [(images[p, s], intent) for p, intent in asked for s in settings.render.seeds]
            scorer.score([image for image, _ in jobs], [intent for _, intent in jobs])
        else:
            scorer.score(list(images.values()))
    return time.perf_counter() - started


def collected(settings: Settings) -> list[str]:
    lines = [line for source in settings.collect.sources for line in read_source(source)]
    return judge(lines, settings.collect).raw_prompts["text"].to_pylist()


def taught(prompts: list[str], settings: Settings) -> list[dict[str, Any]]:
    """Proposals of the offline teacher, each with the raw prompt it is about."""
    answers: list[dict[str, Any]] = []
    bodies = [teacher_body(prompt, settings.teacher) for prompt in prompts]
    requests = [
        Request(call_id(body, 0), body, {"subject": prompt})
        for prompt, body in zip(prompts, bodies, strict=True)
    ]
    with start_offline_teacher() as teacher:
        asyncio.run(ask(requests, settings.teacher, answers.append, base_url=teacher.base_url))
    return [
        proposal | {"raw": row["subject"]}
        for row in answers
        if row["status"] == "ok"
        for proposal in json.loads(row["answer"])["proposals"]
    ]
