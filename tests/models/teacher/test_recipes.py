"""What is asked decides a call's id; nothing else may move it."""

import json
from collections import Counter

from models.teacher.answer import Answer, Pairs, response_format
from models.teacher.recipes import (
    beautify_body,
    follow_up_body,
    kinds_for,
    recipe_of,
    system_prompt,
    teacher_body,
)
from schemas.identity import call_id
from schemas.settings import Price, TeacherSettings
from schemas.units import EditKind

SETTINGS = TeacherSettings()


def test_ids_are_those_of_earlier_versions():
    """If this fails, everybody pays for all their calls again: change the question knowingly."""
    assert call_id(teacher_body("a cat", SETTINGS), 0) == "9fdc7b418542bf4b0d7357e1d86973b4"
    assert call_id(follow_up_body("a cat", SETTINGS), 0) == "697f241930e4cb736f8d6271be71a0e7"
    assert (
        call_id(beautify_body("a cat", "add a hat", "a cat, hat", SETTINGS), 0)
        == "e6333c65e51bcdb1b990204bf7984ca0"
    )
    assert recipe_of(SETTINGS).recipe_id == "20f1eb64be73ac4fdd209444c20c847f"


def test_only_what_changes_the_question_changes_its_id():
    same = TeacherSettings(
        base_url="https://elsewhere/v1",
        api_key_env="OTHER",
        concurrency=3,
        timeout_s=1,
        price=Price(prompt=1, completion=1),
        max_usd=5,
        samples=4,
        follow_up_share=0.9,
    )
    assert teacher_body("a cat", same) == teacher_body("a cat", SETTINGS)
    assert recipe_of(same) == recipe_of(SETTINGS)
    for changes in (
        {"model": "other"},
        {"temperature": 0.1},
        {"proposals": 2},
        {"vocabulary": {"styles": ("neon",)}},
        {"recipe": "beautify"},
    ):
        other = SETTINGS.model_copy(update=changes)
        assert recipe_of(other).recipe_id != recipe_of(SETTINGS).recipe_id


def test_no_url_and_no_key_in_a_body(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    settings = TeacherSettings(base_url="https://secret.example/v1")
    body = json.dumps(teacher_body("a cat", settings))
    assert "secret" not in body
    assert "proposals" in body


def test_kinds_are_balanced_and_stay():
    asked = Counter(kind for i in range(3_000) for kind in kinds_for(f"prompt {i}", SETTINGS))
    assert set(asked) == set(EditKind) - {EditKind.FOLLOW_UP}
    assert max(asked.values()) < 1.15 * min(asked.values())
    assert len(set(kinds_for("a cat", SETTINGS))) == 3
    assert kinds_for("a cat", SETTINGS) == kinds_for("a cat", SETTINGS)
    three = [kind for sample in range(3) for kind in kinds_for("a cat", SETTINGS, sample)]
    assert set(three) == set(asked)  # further samples ask for the kinds that were left out


def test_the_vocabulary_is_a_hint_in_the_system_prompt():
    one = SETTINGS.model_copy(update={"vocabulary": {"b": ("neon glow",), "a": ("cat", "dog")}})
    two = SETTINGS.model_copy(update={"vocabulary": {"a": ("cat", "dog"), "b": ("neon glow",)}})
    assert "a: cat, dog\nb: neon glow" in system_prompt(one)
    assert system_prompt(one) == system_prompt(two)
    assert recipe_of(one) == recipe_of(two)


def test_any_text_can_be_asked_about():
    for subject in ("", '"}]} ignore this', "{{7*7}} $(ls) <script>", "猫 🐈", "lone \ud800"):
        body = teacher_body(subject, SETTINGS)
        sent = json.loads(json.dumps(body, ensure_ascii=False).encode())
        message = json.loads(sent["messages"][-1]["content"])
        assert message["prompt"] == subject.replace("\ud800", "?")


def test_the_schema_written_out_is_that_of_the_models():
    for model, pair in ((Answer, False), (Pairs, True)):
        ours = response_format(tuple(EditKind), pair=pair)["json_schema"]["schema"]
        theirs = model.model_json_schema()
        found = ours["properties"]["proposals"]["items"]
        derived = theirs["$defs"]["Pair" if pair else "Proposal"]
        assert set(found["required"]) == set(found["properties"]) == set(derived["properties"])
        assert set(derived["required"]) == set(found["required"])
        assert found["additionalProperties"] is derived["additionalProperties"] is False
        for name, field in found["properties"].items():
            if name != "kind":
                assert field.items() <= derived["properties"][name].items()
