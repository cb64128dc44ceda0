"""`diffchat build`: count what is to be done, do it in a flow in this process, show the funnel.

The count needs neither Prefect nor torch nor Great Expectations, so a build with nothing to do
ends in about a second.
"""

import json
import sys
import time
from typing import Any

from app.console import console, note, print_json, print_rows
from app.running import run_flow
from schemas.settings import home, load_settings


def run_build(
    profile: str,
    changes: dict[str, Any],
    decide_only: bool = False,
    retry_failed: bool = False,
    as_json: bool = False,
) -> None:
    """Build, print what happened, and exit with 5 if the budget was reached.

    Raises DiffChatError for anything that a person has to mend first.
    """
    from tasks.plan import pending, plan_of
    from warehouse import Warehouse

    started = time.monotonic()
    settings = load_settings(profile, changes)
    plan = plan_of(settings)
    with Warehouse.open(settings.warehouse, home()) as lake:
        counts = pending(lake, plan)
        if retry_failed or any(counts.values()):
            latest = None
        else:
            latest = lake.latest()
    if latest is not None:
        say_nothing_to_do(latest, as_json)
        return
    flags = (decide_only, retry_failed)
    result = run_flow("build_instructpe", profile, changes or None, *flags, bars=not as_json)
    result["seconds"] = round(time.monotonic() - started, 1)
    if as_json:
        print_json(result)
    else:
        show(result)
    if result["stopped_by_budget"]:
        note("The budget is reached. What was bought is kept; a higher cap goes on from here.")
        sys.exit(5)


def say_nothing_to_do(latest: dict[str, Any], as_json: bool) -> None:
    """`latest` is the row of `dataset_versions` that stands."""
    if as_json:
        print_json({"did": "nothing", "version": latest["version"], "rows": latest["rows"]})
    else:
        note(
            f"Nothing to do: version {latest['version']} with {latest['rows']} rows is up to date."
        )


def show(result: dict[str, Any]) -> None:
    """The funnel, the reasons for rejection, the version and one line of SQL to try."""
    funnel = result["funnel"]
    console.print()
    print_rows(("in the warehouse", "rows", ""), funnel_rows(funnel))
    for title, reasons in (
        ("Why lines were refused:", funnel["refused_lines"]),
        ("Why triples are not in the dataset:", grouped(funnel["refused"])),
    ):
        if reasons:
            console.print(f"\n{title}")
            rows = sorted(reasons.items(), key=lambda item: -item[1])
            print_rows(("reason", "rows", ""), [(*row, meaning(row[0])) for row in rows])
    if result["new"]:
        console.print(
            f"\nPublished [bold]InstructPE version {result['version']}[/] with {result['rows']:,} "
            f"rows, in {result['seconds']:.0f} s. The audit passed: ",
            end="",
        )
        console.print(result["audit"], soft_wrap=True, markup=False)
    else:
        console.print(f"\nVersion {result['version']} stands: the same rows under the same rules.")
    console.print("\nTry:  [cyan].venv/bin/diffchat sql[/] ", end="")
    query = "SELECT edit_kind, count(*) FROM instructpe GROUP BY ALL ORDER BY 2 DESC"
    console.print(json.dumps(query), soft_wrap=True, markup=False)


def funnel_rows(funnel: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(stage, rows, what that means) of the stages of a funnel; stages not run are left out."""
    proposed = funnel["proposed"] or 1
    rows = [
        ("lines read", funnel["sightings"], ""),
        ("collected", funnel["collected"], "distinct raw prompts"),
        ("proposed", funnel["proposed"], "triples of the teacher"),
        ("rendered", funnel["rendered"], "both sides, on the same seeds"),
        ("accepted", funnel["accepted"], f"{funnel['accepted'] / proposed:.0%} of the proposed"),
    ]
    return [(name, f"{count:,}", said) for name, count, said in rows if count is not None]


MEANINGS = {
    "aesthetics": "the target's pictures look no better, or clearly worse (by kind of edit)",
    "preference": "the target's pictures show what was asked for no better than the raw prompt's",
    "duplicate": "the same triple is there already",
    "near_duplicate": "nearly the same triple, or raw prompt, is there already",
    "not_scored": "a picture or a score is missing",
    "target_too_long": "the target does not fit the text encoder",
    "violation": "a rule check of the answer failed: what it names is not where it should be",
    "not_text": "bytes that are no UTF-8, or a value that is no text",
    "malformed": "the row cannot be parsed",
    "no_prompt": "the row has no prompt",
    "empty": "nothing but spaces",
    "too_long": "more characters than collect.max_characters",
    "too_short": "fewer words than collect.min_words",
    "too_many_tokens": "more than the text encoder takes",
    "unsafe": "a word of the safety list",
    "language": "not a language of collect.languages",
}


def meaning(reason: str) -> str:
    """What a reason of `decide` or `collect` means to a person."""
    return MEANINGS.get(reason.partition(":")[0], "")


def grouped(refused: dict[str, int]) -> dict[str, int]:
    """Reasons without what they are about: "violation:add_in_raw:blue car" is an add_in_raw."""
    counts: dict[str, int] = {}
    for reason, count in refused.items():
        name = ":".join(reason.split(":")[:2])
        counts[name] = counts.get(name, 0) + count
    return counts
