"""wanted − have, stage by stage."""

from datetime import timedelta

import pytest

from schemas import identity
from schemas.errors import WarehouseError
from tests.warehouse import rows
from tests.warehouse.rows import LIKED, LOOKS, RECIPE, SEEDS, TIS

RENDER = {"tis_id": TIS, "seeds": SEEDS}
SCORE = RENDER | {"scorer_ids": (LOOKS, LIKED)}


def subjects(lake, **filters):
    return sorted(lake.todo("teach", recipe_id=RECIPE, **filters).column("subject").to_pylist())


def answer(lake, *calls):
    return lake.append("teacher_calls", rows.table("teacher_calls", calls))


def test_teach_wants_every_prompt_until_it_is_answered(lake):
    rows.collect(lake, ["a", "b"])
    assert subjects(lake) == ["a", "b"]
    answer(lake, rows.call("a"))
    assert subjects(lake) == ["b"]
    assert lake.count_todo("teach", recipe_id=RECIPE) == 1
    assert lake.count_todo("teach", recipe_id="another") == 2
    assert lake.count_todo("teach", recipe_id=RECIPE, samples=2) == 3


def test_transient_errors_are_tried_three_times_a_build(lake):
    rows.collect(lake, ["a"])
    for attempt in (1, 2, 3):
        assert lake.todo("teach", recipe_id=RECIPE, build_id="b")["attempt"].to_pylist() == [
            attempt
        ]
        answer(lake, rows.call("a", "transient", attempt))
    assert subjects(lake, build_id="b") == []
    assert subjects(lake, build_id="next") == ["a"]


@pytest.mark.parametrize("status", ["refusal", "schema"])
def test_refusals_are_given_up_after_two_and_retried_on_demand(lake, status):
    rows.collect(lake, ["a"])
    answer(lake, rows.call("a", status, 1), rows.call("a", status, 2))
    assert subjects(lake, build_id="next") == []
    assert subjects(lake, build_id="next", retry_failed=True) == ["a"]
    answer(lake, rows.call("a", status, 3, "next"), rows.call("a", status, 4, "next"))
    assert subjects(lake, build_id="next", retry_failed=True) == []


def test_a_build_does_the_work_of_its_own_sources_and_lines(lake):
    rows.collect(lake, ["a", "b"], "one")
    rows.collect(lake, ["c", "d"], "two")
    assert subjects(lake, source_ids=["two"]) == ["c", "d"]
    assert subjects(lake, source_ids=["two"], lines=1) == ["c"]


def test_follow_ups_are_wanted_for_a_share_once_each(lake):
    names = [f"prompt {i}" for i in range(40)]
    rows.collect(lake, names)
    lake.append("triples", rows.triples(*(rows.triple(n, "i", f"{n}!") for n in names)))
    some = lake.todo("follow_up", recipe_id=RECIPE, share=0.3).to_pylist()
    assert 4 <= len(some) <= 20
    assert lake.count_todo("follow_up", recipe_id=RECIPE, share=1.0) == 40
    first = some[0]
    assert first["subject"].endswith("!")
    answer(lake, rows.call(first["subject"][:-1], subject=first["subject"]))
    assert lake.count_todo("follow_up", recipe_id=RECIPE, share=0.3) == len(some) - 1
    with pytest.raises(WarehouseError, match="needs share"):
        lake.count_todo("follow_up", recipe_id=RECIPE)


def test_beautify_wants_imported_edits(lake):
    lake.append("recipes", rows.table("recipes", [{"recipe_id": "import", "kind": "import"}]))
    lake.append("triples", rows.triples(rows.triple("a", "make it b", "b", recipe_id="import")))
    todo = lake.todo("beautify", recipe_id=RECIPE).to_pylist()
    assert [(row["subject"], row["instruction"]) for row in todo] == [
        ("a\nmake it b\nb", "make it b")
    ]
    answer(lake, rows.call("a", subject=todo[0]["subject"]))
    assert lake.count_todo("beautify", recipe_id=RECIPE) == 0


def test_an_answer_without_triples_is_read_again(lake):
    answer(lake, rows.call("a"), rows.call("b", "transient"))
    assert lake.todo("read", recipe_id=RECIPE)["subject"].to_pylist() == ["a"]


def test_render_wants_both_prompts_of_valid_triples_once(lake):
    good = rows.triple("a cat", "add a hat", "a cat with a hat")
    same = rows.triple("a cat", "put a hat on it", "a cat with a hat")
    bad = rows.triple("a dog", "i", "a dog", violations=["unchanged"])
    lake.append("triples", rows.triples(good, same, bad))
    todo = lake.todo("render", **RENDER)
    assert sorted(set(todo["prompt"].to_pylist())) == ["a cat", "a cat with a hat"]
    assert todo.num_rows == 4
    assert lake.todo("render", **RENDER, limit=3).num_rows == 3
    rows.render_all(lake)
    assert lake.count_todo("render", **RENDER) == 0
    assert lake.count_todo("render", tis_id=TIS, seeds=(0, 1, 2)) == 2
    assert lake.count_todo("render", tis_id="another", seeds=SEEDS) == 4


def test_a_render_that_fails_three_times_is_given_up_until_retried(lake):
    lake.append("triples", rows.triples(rows.triple("a", "i", "b")))
    for attempt in (1, 2, 3):
        todo = lake.todo("render", **RENDER).to_pylist()
        assert [row["attempt"] for row in todo] == [attempt] * 4
        failed = [
            {"render_id": identity.render_id(r["prompt"], TIS, r["seed"]), "status": "failed"}
            | {"rendered_at": rows.NOW}
            | r
            for r in todo
        ]
        lake.append("renders", rows.table("renders", failed))
    assert lake.count_todo("render", **RENDER) == 0
    assert lake.count_todo("render", **RENDER, since=rows.NOW + timedelta(seconds=1)) == 4


def test_score_asks_the_intent_only_of_scorers_that_read_it(lake):
    one = rows.triple("a cat", "add a hat", "a cat with a hat")
    two = rows.triple("a cat", "add a tie", "a cat with a tie")
    lake.append("triples", rows.triples(one, two))
    lake.append("scorers", rows.SCORERS)
    assert lake.count_todo("score", **SCORE) == 0  # nothing is rendered yet
    rows.render_all(lake)
    todo = lake.todo("score", **SCORE).to_pylist()
    looks = [row for row in todo if row["scorer_id"] == LOOKS]
    liked = {(row["prompt"], row["intent"]) for row in todo if row["scorer_id"] == LIKED}
    assert len(looks) == 3 * len(SEEDS)
    assert all(row["intent"] is None for row in looks)
    assert liked == {
        ("a cat", one["intent"]),
        ("a cat", two["intent"]),
        ("a cat with a hat", one["intent"]),
        ("a cat with a tie", two["intent"]),
    }
    assert rows.score_all(lake, lambda prompt, scorer: 1.0) == len(todo)
    assert lake.count_todo("score", **SCORE) == 0


def test_a_score_that_fails_is_tried_three_times(lake):
    lake.append("triples", rows.triples(rows.triple("a", "i", "b")))
    lake.append("scorers", rows.SCORERS)
    rows.render_all(lake)
    for attempt in (1, 2, 3):
        todo = lake.todo("score", **SCORE).to_pylist()
        assert {row["attempt"] for row in todo} == {attempt}
        failed = [
            {
                "score_id": identity.score_id(r["render_id"], r["scorer_id"], r["intent"]),
                "render_id": r["render_id"],
                "scorer_id": r["scorer_id"],
                "intent": r["intent"],
                "status": "failed",
                "attempt": r["attempt"],
                "scored_at": rows.NOW,
            }
            for r in todo
        ]
        assert lake.append("scores", rows.table("scores", failed)) == 8
    assert lake.count_todo("score", **SCORE) == 0
    assert lake.count_todo("score", **SCORE, since=rows.NOW + timedelta(seconds=1)) == 8


def test_counts_follow_every_change(lake):
    rows.collect(lake, ["a"])
    assert [lake.count_todo("teach", recipe_id=RECIPE) for _ in range(2)] == [1, 1]
    rows.collect(lake, ["b"], "two")
    assert lake.count_todo("teach", recipe_id=RECIPE) == 2
    lake.purge([identity.raw_prompt_id("a")], "asked to")
    assert lake.count_todo("teach", recipe_id=RECIPE) == 1


def test_shards_are_the_whole_to_do_once_and_keep_a_prompt_together(lake):
    rows.collect(lake, [f"prompt {i}" for i in range(40)])
    whole = lake.todo("teach", recipe_id=RECIPE, samples=2).to_pylist()
    shards = [
        lake.todo("teach", recipe_id=RECIPE, samples=2, shard=(i, 3)).to_pylist() for i in range(3)
    ]
    assert sorted(row["subject"] for shard in shards for row in shard) == sorted(
        row["subject"] for row in whole
    )
    prompts = [{row["raw_prompt_id"] for row in shard} for shard in shards]
    assert all(prompts)
    assert sum(map(len, prompts)) == 40  # both samples of a prompt are in one shard


def test_an_unknown_stage_and_a_missing_filter_are_named(lake):
    with pytest.raises(WarehouseError, match="no stage 'paint'"):
        lake.todo("paint")
    with pytest.raises(WarehouseError, match="needs tis_id"):
        lake.todo("render", seeds=(0,))
