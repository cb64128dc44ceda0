"""Champion: where the alias points, and what moves it.

`aliases` is append-only: the latest row of an alias counts, so a move is one commit, the reason
stands in the warehouse, and moving back is one more row.
"""

import json
from typing import Any

from prefect import task

from models.evaluation.promotion import Decision, decide
from schemas.errors import ModelError, SettingsError
from schemas.identity import content_id
from schemas.settings import PromotionSettings
from tasks.evaluation_plan import EvaluationRun
from tasks.plan import lake_of, now, one_row
from warehouse import Warehouse

CHAMPION = "champion"
BACK = "moved back"
Row = dict[str, Any]


def moves(lake: Warehouse, alias: str = CHAMPION) -> list[Row]:
    """All moves of an alias, the latest first."""
    sql = "FROM aliases WHERE alias = $alias ORDER BY moved_at DESC"
    return lake.query(sql, {"alias": alias}).to_pylist()


def champion(lake: Warehouse) -> str | None:
    """The model id of the champion, or None."""
    return next((row["model_id"] for row in moves(lake)), None)


def move(lake: Warehouse, model_id: str, reason: str, evaluation_id: str | None = None) -> Row:
    """Point `champion` at a model version, in one commit; returns the row."""
    moved_at = now()
    row = {
        "move_id": content_id("move", CHAMPION, model_id, moved_at.isoformat()),
        "alias": CHAMPION,
        "model_id": model_id,
        "evaluation_id": evaluation_id,
        "reason": reason,
        "moved_at": moved_at,
    }
    lake.append("aliases", one_row("aliases", **row))
    return row


def move_back(lake: Warehouse) -> Row:
    """Point `champion` at what it pointed at before its last move.

    Going back is itself a move, so what was gone back from is skipped: back twice is two steps.
    Raises ModelError if there is nothing to go back to.
    """
    stack: list[str] = []
    for row in reversed(moves(lake)):
        if len(stack) > 1 and row["reason"].startswith(BACK) and row["model_id"] == stack[-2]:
            stack.pop()
        elif not stack or stack[-1] != row["model_id"]:
            stack.append(row["model_id"])
    if len(stack) < 2:
        raise ModelError(
            "There is no earlier champion to go back to: `champion` moved once or never."
        )
    return move(lake, stack[-2], f"{BACK} from {stack[-1][:12]}")


def judge_candidate(
    lake: Warehouse, evaluation_id: str, model_id: str, rules: PromotionSettings
) -> Decision:
    """Apply the profile's rules to a model in an evaluation.  Raises SettingsError if it is not
    in it."""
    sql = "FROM evaluations WHERE evaluation_id = $id"
    rows = lake.query(sql, {"id": evaluation_id}).to_pylist()
    if not rows:
        raise SettingsError(f"There is no evaluation {evaluation_id}: run `diffchat evaluate`.")
    summary = json.loads(rows[0]["summary"])
    column = _column(summary, model_id)
    if column is None:
        raise SettingsError(f"Model {model_id[:12]} did not take part in {summary['version']}.")
    now_champion = champion(lake)
    other = _column(summary, now_champion) if now_champion and now_champion != model_id else None
    if now_champion and now_champion != model_id and other is None:
        return Decision(
            False, (f"the champion {now_champion[:12]} did not take part: evaluate both together",)
        )
    if other == column:
        return Decision(False, ("the champion and the candidate are seeds of one training",))
    return decide(summary, column, other, rules)


def _column(summary: Row, model_id: str) -> str | None:
    """The column of the report that a model is in."""
    found = (c["name"] for c in summary["columns"] if model_id in c["models"])
    return next(found, None)


def latest_evaluation(lake: Warehouse, model_id: str) -> str | None:
    """The latest evaluation that a model took part in."""
    sql = """
    SELECT evaluation_id FROM evaluations WHERE list_contains(models, $model)
    ORDER BY evaluated_at DESC LIMIT 1
    """
    found = lake.query(sql, {"model": model_id}).column(0).to_pylist()
    return found[0] if found else None


@task(name="promote", persist_result=False)
def promote(run: EvaluationRun, evaluation_id: str, model_id: str) -> Row:
    """Move `champion` to a candidate that fulfils the rules, else leave it; says why."""
    lake = lake_of(run)
    if champion(lake) == model_id:
        reasons = ["it is the champion already"]
        return {"promoted": False, "new": False, "champion": model_id, "reasons": reasons}
    decision = judge_candidate(lake, evaluation_id, model_id, run.settings.promotion)
    if decision.promoted:
        move(lake, model_id, "; ".join(decision.reasons), evaluation_id)
    return {
        "promoted": decision.promoted,
        "new": decision.promoted,
        "champion": champion(lake),
        "reasons": list(decision.reasons),
    }


@task(name="contenders", persist_result=False)
def contenders(run: EvaluationRun, candidate: str) -> list[str]:
    """The models to evaluate together: the candidate and the champion."""
    now_champion = champion(lake_of(run))
    return list(dict.fromkeys([candidate, *([now_champion] if now_champion else [])]))
