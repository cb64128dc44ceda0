"""The page from made-up numbers: nothing is run, nothing is lost, few cases are said to be few."""

import json
import re

import numpy as np
import pytest

from models.evaluation.metrics import METRICS
from models.evaluation.summary import NAMES, Column, Observed, summarise, turn_table
from reports.difference import Piece, cut, difference
from reports.evaluation_page import changes, comparison_page, differences, evaluation_page
from reports.verdict import verdict_of
from schemas.evaluation import EvaluationSettings

COLUMNS = [
    Column("raw", "raw", (0,)),
    Column("sft 1", "model", (1,)),
    Column("sft, two seeds", "model", (1, 2)),
]
EVIL = '</script><script>alert("x")</script><img src=x onerror=alert(1)>'


def made(count: int, shift: float = 0.0, **more):
    """A summary of `count` cases, as `tasks.evaluation_results` puts it together."""
    cases = [
        {"case_id": str(i), "cluster_id": str(i), "edit_kind": ("add", "style")[i % 2], "turn": 1,
         "raw_prompt": "a car", "instruction": EVIL} for i in range(count)
    ]  # fmt: skip
    values = np.random.default_rng(0).normal(size=(3, count, len(NAMES)))
    values[1:] += shift
    prompts = [{case["case_id"]: f"a car {i}" for case in cases} for i in range(3)]
    settings = EvaluationSettings(resamples=200)
    summary = summarise([Observed("tis", values)], COLUMNS, cases, prompts, settings)
    metrics = [{i: {"integrity": 0.5, "untouched": 1.0, "words": 3, "extra": 0}
                for i in prompt} for prompt in prompts]  # fmt: skip
    summary |= {
        "version": "abc", "tis": ["tis"], "from_dataset": False, "failures": [],
        "columns": [{"name": c.name, "kind": c.kind, "seeds": len(c.members), "models": [""]}
                    for c in COLUMNS],
        "metrics": [metric._asdict() for metric in METRICS],
        "turns": turn_table(COLUMNS, cases, metrics, settings),
        "people": {"votes": 0},
        "curves": [{"model_id": "m" * 32, "term": "loss", "step": s, "value": 1 / (s + 1)}
                   for s in range(3)],
        "funnel": {"sightings": 10, "accepted": 3},
        "provenance": {"cases": "cases.jsonl", "seeds": [1], "made_at": "now", "scorers": [],
                       "case_set_id": "c", "dataset_version": None, "dataset_snapshot": None,
                       "profile": "p", "settings_hash": "h", "code_revision": "r",
                       "hardware": "one", "seconds": 1.0,
                       "tis": [{"name": "tis", "tis_id": "t", "weights": "w" * 32}],
                       "statistics": {"confidence": 0.95}},
    } | more  # fmt: skip
    return summary | {"verdict": verdict_of(summary)}


def shown(prompt: str):
    answers = [{"method": "sft 1", "kind": "model", "prompt": prompt, "error": None, "image": None,
                "scores": {"preference": 1.0}}]  # fmt: skip
    return [{"raw_prompt": EVIL, "instruction": EVIL, "edit_kind": "add", "intent": EVIL,
             "target_prompt": None, "units": [], "answers": answers}]  # fmt: skip


def test_prompts_are_text_wherever_they_stand():
    page = evaluation_page(made(40), shown(EVIL))
    body = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert "<img src=x" not in body
    assert 'alert("x")' not in page
    assert "default-src 'none'" in page
    specs = re.search(r'id="specs">(.*?)</script>', page, re.DOTALL)
    assert specs is not None
    assert len(json.loads(specs[1])) == page.count('class="chart"')


def test_a_conversation_is_told_turn_by_turn_against_the_answer_before():
    def turn(instruction, before, prompt):
        answer = {"method": "sft 1", "kind": "model", "prompt": prompt, "before": before,
                  "error": None, "image": b"RIFF", "scores": {"integrity": 1.0}}  # fmt: skip
        return {"instruction": instruction, "answers": [answer]}

    turns = [
        turn(EVIL, "a car", "a blue car"),
        turn("at night", "a blue car", "a blue car at night"),
    ]
    page = evaluation_page(made(6), [], [{"raw_prompt": "a car", "turns": turns}])
    part = page[page.index('class="case talk"') : page.index('id="hacking"')]
    assert part.index("1. &lt;/script") < part.index("2. at night")
    assert part.count("data:image/webp") == 2
    assert "<ins>blue </ins>" in part
    assert "<ins>at night</ins>" in part


def test_a_million_characters_are_cut_and_say_so():
    page = evaluation_page(made(6), shown("word " * 200_000))
    assert "(1,000,000 characters)" in page
    assert len(page) < 1_500_000


@pytest.mark.parametrize("count", [1, 3])
def test_few_cases_make_a_page_that_says_so(count):
    summary = made(count)
    assert "too few cases to tell" in summary["verdict"]["headline"]
    assert "too few" in evaluation_page(summary, [])
    assert any("prompts are few" in point["text"] for point in summary["verdict"]["points"])


def test_the_verdict_names_what_is_better():
    better = made(60, shift=1.5)["verdict"]
    assert any(p["tone"] == "good" and "preference" in p["text"] for p in better["points"])
    same = made(60)["verdict"]
    assert not any(p["tone"] == "good" for p in same["points"])


def test_what_changed_between_two_evaluations():
    older, newer = made(60), made(60, shift=3.0, version="def")
    rows = changes(older, newer)
    clear = {(row["method"], row["metric"]) for row in rows if row["clear"]}
    assert ("raw", "preference") not in clear
    assert rows[0]["clear"]
    assert "abc" in comparison_page(older, newer, rows)
    other = made(60, provenance=newer["provenance"] | {"case_set_id": "other"})
    assert "asked different cases" in comparison_page(older, other, rows)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dataset_version": 2}, "Their cases are of dataset version 1 and dataset version 2."),
        ({"dataset_version": None}, "Their cases are of dataset version 1 and a file."),
        (
            {"tis": [{"name": "n", "tis_id": "other", "weights": "w"}]},
            "pictures cannot be compared",
        ),
        ({"seeds": [7]}, "different seeds"),
        ({"scorers": [{"scorer_id": "other"}]}, "scores cannot be compared"),
    ],
)
def test_two_evaluations_that_share_too_little_say_what(change, said):
    known = made(6)["provenance"] | {"dataset_version": 1}
    older, newer = made(6, provenance=known), made(6, provenance=known | change)
    page = comparison_page(older, newer, changes(older, newer))
    assert said in page
    assert differences(older, older) == []


def test_differences_between_prompts():
    assert difference("a red car at night", "a blue car at night") == [
        Piece("same", "a "), Piece("gone", "red "), Piece("new", "blue "),
        Piece("same", "car at night"),
    ]  # fmt: skip
    assert difference("", "new") == [Piece("new", "new")]
    assert cut("short") == "short"
