"""A shard works on what it could claim, once, and waits for what another build holds."""

import pytest

from tasks import shards

OTHER = "another build on another host"


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr(shards, "WAIT_S", 0.0)


def run(lake, todo, work):
    return shards.work_off(lake, "render", lambda row: row["prompt"], todo, work)


def listed(*prompts):
    return [{"prompt": prompt} for prompt in prompts]


def test_what_was_all_ours_is_asked_for_once(lake):
    asked, worked = [], []

    def todo():
        asked.append(1)
        return listed("a", "b")

    assert run(lake, todo, lambda mine: worked.extend(mine) or len(mine)) == 2
    assert (len(asked), worked) == (1, listed("a", "b"))


def test_what_another_build_holds_is_waited_for(lake):
    """It commits one of two rows and gives the other back."""
    held = ["b", "c"]
    lake.claims.take("render", held, OTHER, lease_s=60)
    left, worked = ["a", "b", "c"], []

    def todo():
        if "a" not in left:  # asked again: by now the other build has ended
            lake.claims.release("render", held, OTHER)
            left[:] = ["c"] if "c" in left else []
        return listed(*left)

    def work(mine):
        worked.append([row["prompt"] for row in mine])
        for row in mine:
            left.remove(row["prompt"])
        return len(mine)

    assert run(lake, todo, work) == 2
    assert worked == [["a"], ["c"]]


def test_what_fails_is_not_tried_twice(lake):
    lake.claims.take("render", ["b"], OTHER, lease_s=60)
    worked, answers = [], [listed("a", "b"), listed("a")]  # the other build made "b"
    assert run(lake, lambda: answers.pop(0), lambda mine: worked.extend(mine) or 0) == 0
    assert worked == listed("a")
    assert answers == []
