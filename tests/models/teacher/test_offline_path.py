"""The whole path on the offline teacher: asked over HTTP, read, checked, turned into triples."""

from datetime import UTC, datetime

import pytest

from models.teacher.client import Request, ask
from models.teacher.offline import start_offline_teacher
from models.teacher.recipes import beautify_body, follow_up_body, teacher_body
from models.teacher.triples import triples_of
from schemas.identity import call_id, raw_prompt_id
from schemas.records import TRIPLES
from schemas.settings import TeacherSettings

PROMPTS = ["a photo of a cat in a park", "(red car:1.3) on a bridge, BREAK, oil painting"]


@pytest.fixture(scope="module")
def base_url():
    with start_offline_teacher() as teacher:
        yield teacher.base_url


async def calls(settings, bodies, base_url):
    rows = []
    requests = [
        Request(
            call_id(body, 0),
            body,
            {
                "recipe_id": "recipe",
                "raw_prompt_id": raw_prompt_id(subject),
                "subject": subject,
                "build_id": "build",
            },
        )
        for subject, body in bodies.items()
    ]
    summary = await ask(requests, settings, rows.append, base_url=base_url)
    assert summary.ok == len(bodies), rows
    return rows


async def test_first_and_second_turns(base_url):
    settings = TeacherSettings()
    first = await calls(settings, {p: teacher_body(p, settings) for p in PROMPTS}, base_url)
    table = triples_of(first, {}, datetime.now(UTC))
    assert table.schema.equals(TRIPLES)
    rows = table.to_pylist()
    assert len(rows) == 6
    assert not [row["violations"] for row in rows if row["violations"]]
    assert {(row["turn"], row["parent_triple_id"]) for row in rows} == {(1, None)}
    parent = rows[0]
    subject = parent["target_prompt"]
    second = await calls(settings, {subject: follow_up_body(subject, settings)}, base_url)
    parents = {second[0]["call_id"]: parent["triple_id"]}
    (row,) = triples_of(second, parents, datetime.now(UTC)).to_pylist()
    assert (row["turn"], row["parent_triple_id"]) == (2, parent["triple_id"])
    assert (row["raw_prompt"], row["edit_kind"]) == (subject, "follow_up")


async def test_beautify_changes_both_captions_alike(base_url):
    settings = TeacherSettings(recipe="beautify")
    edit = ("a cat in a park", "make it a dog", "a dog in a park")
    body = beautify_body(*edit, settings)
    rows = await calls(settings, {"\n".join(edit): body}, base_url)
    (row,) = triples_of(rows, {}, datetime.now(UTC), pairs=True).to_pylist()
    assert row["raw_prompt"].startswith("a cat in a park")
    assert row["target_prompt"].startswith("a dog in a park")
    added = row["raw_prompt"].removeprefix(edit[0])
    assert added
    assert row["target_prompt"] == edit[2] + added
    assert row["instruction"] == edit[1]
    assert row["violations"] == []
