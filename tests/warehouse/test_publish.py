"""Deciding and publishing: first reasons, one version for one answer, time travel."""

import pytest

from schemas import identity
from schemas.errors import AuditFailed, WarehouseError
from schemas.settings import DecideSettings
from tests.warehouse import rows
from tests.warehouse.rows import LIKED, LOOKS, READS, SEEDS, TIS

RULES = DecideSettings()


def reasons(lake, decision_set):
    answer = lake.query(
        "SELECT instruction, reason FROM decisions JOIN triples USING (triple_id) "
        "WHERE decision_set_id = ?",
        [decision_set],
    )
    return {row["instruction"]: row["reason"] for row in answer.to_pylist()}


def judged(lake, scores, *found, rules=RULES):
    """Reasons by instruction, when `scores` maps (prompt, scorer) to a value (default 5)."""
    lake.append("triples", rows.triples(*found))
    rows.render_all(lake)
    rows.score_all(lake, lambda prompt, scorer: scores.get((prompt, scorer), 5.0))
    return reasons(lake, lake.decide(rules, **READS))


def test_each_kind_of_edit_has_its_rule(lake):
    scores = {
        ("hat", LIKED): 5.1,
        ("tie", LIKED): 5.1,
        ("tie", LOOKS): 1.0,
        ("plain", LIKED): 5.0,
        ("oil", LOOKS): 5.1,
        ("oil", LIKED): 1.0,
        ("ink", LOOKS): 5.0,
        ("ink", LIKED): 9.0,
    }
    found = judged(
        lake,
        scores,
        rows.triple("cat", "content, liked", "hat"),
        rows.triple("cat", "content, liked, ugly", "tie"),
        rows.triple("cat", "content, not liked", "plain"),
        rows.triple("cat", "looks, better", "oil", "style"),
        rows.triple("cat", "looks, not better", "ink", "beautify"),
        rows.triple("cat", "broken", "x", violations=["unit_missing: hat", "too_long"]),
    )
    assert found == {
        "content, liked": "accepted",
        "content, liked, ugly": "aesthetics",
        "content, not liked": "preference",
        "looks, better": "accepted",
        "looks, not better": "aesthetics",
        "broken": "violation:unit_missing",
    }


def test_a_triple_without_all_its_scores_is_not_accepted(lake):
    lake.append("triples", rows.triples(rows.triple("a", "i", "b", "style")))
    lake.append("scorers", rows.SCORERS)
    assert reasons(lake, lake.decide(RULES, **READS)) == {"i": "not_scored"}
    rows.render_all(lake)
    rows.score_all(lake, lambda prompt, scorer: len(prompt), scorers=(LIKED,))
    assert reasons(lake, lake.decide(RULES, **READS)) == {"i": "not_scored"}


def test_gains_are_means_over_seeds_against_the_triples_own_intent(lake):
    values = iter(range(100))
    lake.append("triples", rows.triples(rows.triple("a", "i", "b", "style")))
    rows.render_all(lake)
    seen = {}

    def value(prompt, scorer):
        seen.setdefault((prompt, scorer), []).append(float(next(values)) ** 1.5)
        return seen[prompt, scorer][-1]

    rows.score_all(lake, value)
    lake.decide(RULES, **READS)
    row = lake.query("SELECT aesthetic_gain AS a, preference_gain AS p FROM decisions").to_pylist()
    mean = {key: sum(found) / len(found) for key, found in seen.items()}
    assert row[0]["a"] == pytest.approx(mean["b", LOOKS] - mean["a", LOOKS], abs=1e-4)
    assert row[0]["p"] == pytest.approx(mean["b", LIKED] - mean["a", LIKED], abs=1e-4)


def test_the_held_out_scorer_changes_nothing(lake):
    lake.append("triples", rows.triples(rows.triple("a", "i", "b", "style")))
    rows.render_all(lake)
    rows.score_all(lake, lambda prompt, scorer: float(ord(prompt)))
    before = lake.decide(RULES, **READS)
    rows.score_all(lake, lambda prompt, scorer: -1e6, scorers=(rows.HELD,))
    assert lake.decide(RULES, **READS) == before


def test_duplicates_leave_the_smallest_id(lake):
    bands = list(range(16))
    near = [*range(4), *range(100, 112)]
    far = [*range(3), *range(200, 213)]
    found = [
        rows.triple("a", "i", "b", triple_id="1", minhash=bands),
        rows.triple("a", "i", "b", triple_id="2", minhash=[]),
        rows.triple("a", "near", "c", triple_id="3", minhash=near),
        rows.triple("a", "far", "d", triple_id="4", minhash=far),
        rows.triple("a", "bad", "e", triple_id="0", minhash=bands, violations=["x"]),
    ]
    lake.append("triples", rows.triples(*found))

    def by_id(rules):
        sql = "SELECT triple_id, reason FROM decisions WHERE decision_set_id = ? ORDER BY 1"
        return [row["reason"] for row in lake.query(sql, [lake.decide(rules)]).to_pylist()]

    assert by_id(RULES) == ["violation:x", "accepted", "duplicate", "near_duplicate", "accepted"]
    off = DecideSettings(near_duplicates=False)
    assert by_id(off) == ["violation:x", "accepted", "duplicate", "accepted", "accepted"]


def test_the_same_question_is_answered_once_and_a_new_one_anew(lake):
    rows.published(lake)
    snapshot = lake.snapshot()
    decided = lake.decide(RULES)
    assert lake.publish(decided) == 1
    assert lake.snapshot() == snapshot
    assert not lake.decision_pending(RULES)
    stricter = DecideSettings(max_target_tokens=3)
    assert lake.decision_pending(stricter)
    assert lake.publish(lake.decide(stricter)) == 2


def test_rows_that_are_all_refused_make_no_new_version(lake):
    rows.published(lake)
    lake.append("triples", rows.triples(rows.triple("a", "i", "b", violations=["x"])))
    assert lake.decision_pending(RULES)
    assert lake.publish(lake.decide(RULES)) == 1
    assert not lake.decision_pending(RULES)


def test_a_failed_audit_publishes_nothing(lake):
    rows.collect(lake, ["a"])
    lake.append("triples", rows.triples(rows.triple("a", "i", "b")))

    def audit(candidate):
        assert candidate.num_rows == 1
        raise AuditFailed("too few rows")

    with pytest.raises(AuditFailed):
        lake.publish(lake.decide(RULES), audit=audit)
    assert lake.query("FROM dataset_versions").num_rows == 0
    assert lake.query("FROM instructpe").num_rows == 0
    assert lake.publish(lake.decide(RULES), audit=lambda candidate: None) == 1


def test_versions_can_be_read_as_they_were(lake):
    rows.published(lake)
    lake.append("triples", rows.triples(rows.triple("a bird", "i", "a red bird")))
    assert lake.publish(lake.decide(RULES)) == 2
    sizes = [lake.query("FROM instructpe", version=v).num_rows for v in (1, 2)]
    assert sizes == [3, 4]
    assert lake.query("FROM triples", version=1).num_rows == 3
    assert lake.query("FROM instructpe").num_rows == 4
    bound = lake.query("SELECT version, snapshot_id FROM dataset_versions").to_pylist()
    assert bound[-1]["snapshot_id"] == lake.snapshot()
    with pytest.raises(WarehouseError, match="no dataset version 7; published: 1, 2"):
        lake.query("FROM instructpe", version=7)


def test_the_funnel_tells_where_rows_went(lake):
    rows.collect(lake, ["a", "b"])
    refused = {"rejection_id": "r", "source_id": "source", "line": 3, "reason": "empty"}
    lake.append("rejections", rows.table("rejections", [refused]))
    good, bad = rows.triple("a", "i", "c"), rows.triple("b", "i", "d", violations=["unchanged"])
    lake.append("triples", rows.triples(good, bad))
    assert lake.funnel(lake.decide(RULES)) == {
        "sightings": 3,
        "refused_lines": {"empty": 1},
        "collected": 2,
        "proposed": 2,
        "rendered": None,
        "accepted": 1,
        "refused": {"violation:unchanged": 1},
    }


def test_published_rows_know_their_source_and_licence(lake):
    found = {"source_id": "source", "fingerprint": "f", "name": "my prompts"}
    lake.append("sources", rows.table("sources", [found]))
    rows.published(lake)
    row = lake.query("SELECT DISTINCT source, licence, split FROM instructpe").to_pylist()[0]
    assert (row["source"], row["licence"]) == ("my prompts", "CC0-1.0")


def test_deciding_by_renders_needs_its_scorers(lake):
    with pytest.raises(WarehouseError, match="an aesthetics and a preference scorer"):
        lake.decide(RULES, tis_id="tis", seeds=(0,))
    with pytest.raises(WarehouseError, match="no decision set"):
        lake.publish("nonsense")


def test_what_trainings_and_evaluations_render_and_score_changes_no_decision(lake):
    lake.append("scorers", rows.SCORERS)
    lake.append("triples", rows.triples(rows.triple("a cat", "add a hat", "a cat with a hat")))
    rows.render_all(lake)
    rows.score_all(lake, lambda prompt, scorer: len(prompt))
    known = lake.decide(RULES, **READS)
    lake.publish(known)

    def judge(prompt, intent):
        """As a reward does: another prompt, or another intent of the same picture."""
        renders = [
            {"render_id": identity.render_id(prompt, TIS, seed), "prompt": prompt, "tis_id": TIS,
             "seed": seed, "status": "ok", "attempt": 1} for seed in SEEDS
        ]  # fmt: skip
        lake.append("renders", rows.table("renders", renders))
        scores = [
            {"score_id": identity.score_id(r["render_id"], LIKED, intent), "intent": intent,
             "render_id": r["render_id"], "scorer_id": LIKED, "value": 1.0, "status": "ok",
             "attempt": 1} for r in renders
        ]  # fmt: skip
        assert lake.append("scores", rows.table("scores", scores)) == len(SEEDS)

    judge("what a student wrote", "a cat with a hat")
    judge("a cat", "another intent")
    assert not lake.decision_pending(RULES, **READS)
    assert lake.decide(RULES, **READS) == known
    lake.append("triples", rows.triples(rows.triple("a cat", "wave", "what a student wrote")))
    assert lake.decision_pending(RULES, **READS)
    assert lake.decide(RULES, **READS) != known
