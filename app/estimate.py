"""`diffchat estimate`: what a build would call, pay, wait for and render, before it does.

Reads and judges the sources as a build would, and commits nothing.
"""

import random
from typing import Any

from app.console import note, print_json, print_rows
from models.collect import judge_source, settle
from models.teacher.estimate import Estimate, Interval, PastCall, estimate
from models.teacher.recipes import teacher_body
from models.tis import load_token_counter
from schemas.settings import Settings, home
from tasks.plan import Plan, plan_of
from warehouse import Warehouse

SAMPLE = 300  # requests whose size is measured

PAST = """
SELECT strlen(any_value(request)) AS request_bytes,
    max(prompt_tokens) AS prompt_tokens, max(completion_tokens) AS completion_tokens,
    max(latency_ms) FILTER (status = 'ok') AS latency_ms, count(*) AS attempts
FROM teacher_calls WHERE recipe_id = $recipe
GROUP BY call_id HAVING bool_or(status = 'ok') ORDER BY call_id LIMIT 2000
"""


def run_estimate(settings: Settings, as_json: bool) -> None:
    """Print calls, tokens, money, time and images, each with an interval."""
    plan = plan_of(settings)
    subjects, past = wanted(settings, plan)
    teacher = settings.teacher
    rng = random.Random(0)
    sample = rng.sample(subjects, min(SAMPLE, len(subjects)))
    bodies = [teacher_body(subject, teacher) for subject in sample]
    follow_ups = round(len(subjects) * teacher.follow_up_share)
    calls = len(subjects) * teacher.samples + follow_ups
    found = estimate(bodies, calls, teacher, past)
    images = images_of(len(subjects), calls, settings) if plan.tis else 0
    if as_json:
        print_json({"prompts": len(subjects), "images": images, **plain(found)})
        return
    show(found, len(subjects), images, settings)


def wanted(settings: Settings, plan: Plan) -> tuple[list[str], list[PastCall]]:
    """Prompts that would be asked about, and calls that were paid before under the same recipe."""
    subjects = {text for text in collected(settings, plan)}
    if not Warehouse.exists(settings.warehouse, home()):
        return sorted(subjects), []
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        todo = lake.todo("teach", **plan.filters("teach"))["subject"].to_pylist()
        have = set(lake.query("SELECT text FROM raw_prompts")["text"].to_pylist())
        rows = lake.query(PAST, {"recipe": plan.recipe.recipe_id}).to_pylist()
    return sorted((subjects - have) | set(todo)), [PastCall(**row) for row in rows]


def collected(settings: Settings, plan: Plan) -> list[str]:
    """What collect would keep of the sources."""
    counter = load_token_counter(settings.tis) if plan.tis else None
    budget = plan.tis.token_budget if plan.tis else None
    rules = settings.collect
    judged = (
        shard for source in rules.sources for shard in judge_source(source, rules, counter, budget)
    )
    kept = settle(judged, None, rules.near_duplicate_similarity)
    return kept.raw_prompts["text"].to_pylist()


def images_of(prompts: int, calls: int, settings: Settings) -> int:
    """At most so many images: each raw prompt and each target, on every seed."""
    return (prompts + calls * settings.teacher.proposals) * len(settings.render.seeds)


def plain(found: Estimate) -> dict[str, Any]:
    """The estimate as JSON, intervals as {"low", "likely", "high"}."""
    return {
        name: value._asdict() if isinstance(value, Interval) else value
        for name, value in found._asdict().items()
    }


def show(found: Estimate, prompts: int, images: int, settings: Settings) -> None:
    """A table for people, and on what it rests."""
    rows = [
        ("prompts to ask about", f"{prompts:,}", ""),
        ("calls", f"{found.calls:,}", between(found.attempts, "attempts")),
        ("prompt tokens", f"{found.prompt_tokens.likely:,.0f}", between(found.prompt_tokens)),
        (
            "answer tokens",
            f"{found.completion_tokens.likely:,.0f}",
            between(found.completion_tokens),
        ),
        ("US dollars", f"{found.usd.likely:,.2f}", between(found.usd, digits=2)),
        ("time of the calls", f"{found.seconds.likely:,.0f} s", between(found.seconds, "s")),
        ("images", f"{images:,}", "at most"),
    ]
    print_rows(("", "likely", "between"), rows)
    if found.from_past_calls:
        note(f"From {found.from_past_calls} calls that were made before under this recipe.")
    else:
        note("From the size of the requests alone; a small build first makes this sharper.")
    if settings.teacher.base_url and not any(settings.teacher.price.model_dump().values()):
        note("teacher.price is 0: set what your provider asks for a million tokens.")
    if found.over_budget:
        note("That is over teacher.max_usd or teacher.max_tokens: the build would stop there.")


def between(interval: Interval, unit: str = "", digits: int = 0) -> str:
    return f"{interval.low:,.{digits}f} – {interval.high:,.{digits}f} {unit}".strip()
