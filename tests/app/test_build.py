"""`diffchat build` from sources to a version, as a person runs it; text rules alone, for speed."""

import pytest

pytestmark = pytest.mark.timeout(600)
BUILD = ("build", "--no-render")


def test_a_build_publishes_once_and_then_has_nothing_to_do(diffchat):
    first = diffchat.json(*BUILD)
    assert (first["version"], first["new"]) == (1, True)
    assert first["rows"] == first["funnel"]["accepted"] > 0
    assert diffchat.json(*BUILD) == {"did": "nothing", "version": 1, "rows": first["rows"]}

    other_rules = diffchat.json(*BUILD, "--decide-only", "--set", "decide.near_duplicates=false")
    assert (other_rules["version"], other_rules["new"]) == (2, True)
    assert other_rules["rows"] >= first["rows"]
    calls = diffchat.rows("SELECT count(DISTINCT build_id) AS builds FROM teacher_calls")
    assert calls == [{"builds": 1}], "deciding again must not call the teacher"


def test_a_failed_audit_publishes_nothing_and_a_rerun_does_not_get_around_it(diffchat):
    strict = (*BUILD, "--set", "publish.min_rows=10000")
    for _ in range(2):
        out = diffchat.run(*strict, code=7)
        assert "at least 10000 rows" in out.stderr
        assert diffchat.json("versions") == {"versions": []}
    assert diffchat.json(*BUILD)["version"] == 1
