"""The tasks of an evaluation, one after the other, on a version with conversations."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.prefect_stack import ROOT
from schemas.errors import ModelError
from schemas.identity import content_id, raw_prompt_id, split_of
from schemas.settings import load_settings
from tasks.answering import answer
from tasks.evaluating import judge, open_evaluation, picture
from tasks.evaluation_plan import evaluation_plan, evaluation_run, finished, shown_conversations
from tasks.evaluation_results import write_report
from tasks.plan import lake_of, one_row
from tests.models.train.miniatures import student

NOW = datetime(2026, 1, 2, tzinfo=UTC)
SMALL = {
    "evaluation.transfer": [],
    "tis.steps": 2, "student.max_new_tokens": 8, "evaluation.seeds": [7],
    "evaluation.resamples": 200, "evaluation.turns": 3, "evaluation.shown_conversations": 1,
}  # fmt: skip
EDITS = (("make it night", "by night", "style"), ("add a house", "a house", "add"),
         ("golden light", "golden light", "style"))  # fmt: skip


def publish(lake) -> None:
    """Two prompts of the test split, with three edits each."""
    lines = (ROOT / "profiles" / "data" / "world_prompts.txt").read_text().splitlines()
    prompts = [line for line in lines if split_of(raw_prompt_id(line)) == "test"][:2]
    for prompt in prompts:
        for instruction, added, kind in EDITS:
            lake.append(
                "published_rows",
                one_row(
                    "published_rows", version=1, triple_id=content_id("t", prompt, instruction),
                    raw_prompt_id=raw_prompt_id(prompt), turn=1, split="test", raw_prompt=prompt,
                    instruction=instruction, edit_kind=kind, target_prompt=f"{prompt}, {added}",
                    intent=f"{prompt}, {added}", units=[{"role": "add", "text": added}],
                    units_source="rule", source="s", licence="CC0-1.0",
                ),
            )  # fmt: skip
    lake.append(
        "dataset_versions",
        one_row(
            "dataset_versions", version=1, decision_set_id="d", snapshot_id=lake.snapshot(),
            rows=6, status="published", profile="embedded", settings_hash="s", funnel="{}",
            published_at=NOW,
        ),
    )  # fmt: skip


@pytest.fixture
def run(home, tmp_path):
    """An evaluation of the raw prompt, the pasted one and a miniature student."""
    student(tmp_path / "student", context=512)
    model = {"kind": "model", "model": str(tmp_path / "student"), "name": "miniature"}
    methods = {"evaluation.methods": [{"kind": "raw"}, {"kind": "pasted"}, model]}
    found = evaluation_run(load_settings("embedded", SMALL | methods), home)
    publish(lake_of(found))
    return found


def test_conversations_are_shown_with_a_picture_a_turn(run, home):
    lake = lake_of(run)
    for index in range(open_evaluation.fn(run)):
        answer.fn(run, index)
    assert picture.fn(run, 0) > 0
    judge.fn(run, 0)
    plan = evaluation_plan(run)
    [turns] = shown_conversations(plan)
    assert [case["turn"] for case in turns] == [1, 2, 3]
    assert finished(lake, plan) is None
    row = write_report(run, 0.0)
    page = (home / row["report"] / "index.html").read_text()
    part = page[page.index('class="case talk"') : page.index('id="hacking"')]
    assert part.count("data:image/webp") == 3 * len(plan.methods)
    assert all(case["instruction"] in part for case in turns)
    assert picture.fn(run, 0) == 0
    assert finished(lake, plan) is not None


def test_a_model_that_is_deleted_midway_ends_the_evaluation_with_a_message(run, home, tmp_path):
    open_evaluation.fn(run)
    answer.fn(run, 0)
    shutil.rmtree(tmp_path / "student")
    for task in (answer, picture):
        with pytest.raises(ModelError, match="There is no model"):
            task.fn(run, 2 if task is answer else 0)
    with pytest.raises(ModelError, match="There is no model"):
        write_report(run, 0.0)
    assert not Path(home / "reports").exists()
    assert lake_of(run).query("FROM evaluations").num_rows == 0
