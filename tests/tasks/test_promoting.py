"""Champion: rules, one row a move, back again, and that a failure leaves it alone."""

import json

import pytest

from models.evaluation.promotion import decide
from schemas.errors import ModelError, SettingsError
from schemas.evaluation import PromotionSettings
from tasks.model_versions import resolve_model
from tasks.promoting import champion, judge_candidate, move, move_back, moves
from tests.warehouse.rows import NOW, open_lake, table


def gap(method, baseline, metric, difference, width=0.1, verdict="tie"):
    return {"tis": "tis", "method": method, "baseline": baseline, "metric": metric,
            "difference": difference, "low": difference - width, "high": difference + width,
            "win": 0.5, "lose": 0.5, "verdict": verdict}  # fmt: skip


def summary(**changes):
    """Candidate "new" against raw and against the champion "old"."""
    metrics = PromotionSettings().not_worse
    found = {
        "version": "v", "tis": ["tis"], "cases": 40, "alarms": [], "failures": [],
        "columns": [{"name": "raw", "models": [""]}, {"name": "old", "models": ["m-old"]},
                    {"name": "new", "models": ["m-new"]}],
        "against": [gap("new", "raw", metric, 0.2) for metric in metrics],
        "pairs": [gap("old", "new", metric, -0.05) for metric in metrics],
        "means": [{"tis": "tis", "method": "new", "metric": "integrity", "mean": 0.9},
                  {"tis": "tis", "method": "new", "metric": "overflow", "mean": 0.0}],
    }  # fmt: skip
    return found | changes


def test_a_candidate_that_is_no_worse_is_promoted_and_the_numbers_are_the_reason():
    decision = decide(summary(), "new", "old", PromotionSettings())
    assert decision.promoted
    assert "preference +0.050 [-0.050, +0.150]" in decision.reasons[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pairs": [gap("old", "new", m, 0.3) for m in PromotionSettings().not_worse]},
         "preference is worse than old's: -0.300 [-0.400, -0.200]"),
        ({"pairs": []}, "held_out was not compared with old"),
        ({"cases": 3}, "3 cases, at least 10 are needed"),
        ({"means": [{"tis": "tis", "method": "new", "metric": "integrity", "mean": 0.2}]},
         "content integrity is 0.200"),
        ({"means": [{"tis": "tis", "method": "new", "metric": "overflow", "mean": 0.5}]},
         "50.0% of the prompts could not be rendered"),
        ({"alarms": [{"method": "new", "detector": "length", "fired": True}]}, "alarms: length"),
    ],
)  # fmt: skip
def test_every_rule_refuses_with_its_number(change, said):
    decision = decide(summary(**change), "new", "old", PromotionSettings())
    assert not decision.promoted
    assert any(said in reason for reason in decision.reasons), decision.reasons


def test_better_wants_one_of_its_metrics_to_be_better():
    rules = PromotionSettings(better=("preference",))
    assert not decide(summary(), "new", "old", rules).promoted
    pairs = [gap("old", "new", m, -0.3, verdict="worse") for m in rules.not_worse]
    assert decide(summary(pairs=pairs), "new", "old", rules).promoted


def model(lake, home, name):
    (home / name).mkdir()
    lake.append("model_versions", table("model_versions", [
        {"model_id": name, "method": "sft", "base": "b", "base_hash": "h", "seed": 0,
         "status": "ok", "folder": name, "weights_hash": name, "settings": "{}", "metrics": "{}",
         "trained_at": NOW}]))  # fmt: skip


def test_the_alias_moves_and_moves_back_and_remembers_why(home):
    with open_lake(home) as lake:
        for name in ("m-one", "m-two", "m-three"):
            model(lake, home, name)
        with pytest.raises(ModelError, match="No model is champion yet"):
            resolve_model(lake, home, "champion")
        with pytest.raises(ModelError, match="no earlier champion"):
            move_back(lake)
        for name in ("m-one", "m-two", "m-three"):
            move(lake, name, f"because of {name}")
        assert resolve_model(lake, home, "champion").model_id == "m-three"
        assert move_back(lake)["model_id"] == "m-two"
        assert move_back(lake)["model_id"] == "m-one"
        assert resolve_model(lake, home, "champion").folder == home / "m-one"
        with pytest.raises(ModelError, match="no earlier champion"):
            move_back(lake)
        assert [row["reason"] for row in moves(lake)][-1] == "because of m-one"
        assert len(moves(lake)) == 5


def evaluation(lake, found):
    lake.append("evaluations", table("evaluations", [
        {"evaluation_id": "e", "models": ["m-old", "m-new"], "summary": json.dumps(found),
         "evaluated_at": NOW}]))  # fmt: skip


def test_a_candidate_must_have_met_the_champion(home):
    with open_lake(home) as lake:
        with pytest.raises(SettingsError, match="no evaluation"):
            judge_candidate(lake, "e", "m-new", PromotionSettings())
        evaluation(lake, summary())
        assert judge_candidate(lake, "e", "m-new", PromotionSettings()).promoted
        move(lake, "m-else", "by hand")
        refused = judge_candidate(lake, "e", "m-new", PromotionSettings())
        assert (refused.promoted, champion(lake)) == (False, "m-else")
        assert "evaluate both together" in refused.reasons[0]
        with pytest.raises(SettingsError, match="did not take part"):
            judge_candidate(lake, "e", "m-nobody", PromotionSettings())
