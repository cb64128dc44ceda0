"""What a report shows in pictures: cases, worst first, and conversations, turn by turn."""

from collections.abc import Mapping

import numpy as np

from models.evaluation.metrics import PICTURE_SCORES
from models.evaluation.summary import NAMES, Row
from tasks.evaluation_gathering import Gathered, as_tuples
from tasks.evaluation_plan import EvaluationPlan, shown_conversations
from warehouse import Warehouse

PICTURES = """
SELECT o.method_id, o.case_id, any_value(r.image_sha256) AS sha
FROM evaluation_outputs AS o
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok' AND r.seed = $seed
WHERE o.status = 'ok'
    AND list_contains($methods::VARCHAR[], o.method_id)
    AND list_contains($shown::VARCHAR[], o.case_id)
GROUP BY ALL
"""
Shas = Mapping[tuple[str, str], str]  # (method id, case id) → picture


def shown_cases(found: Gathered, count: int) -> list[int]:
    """Places of the cases to show: the worst first, by the models (else by all methods).

    Worst: content lost, then the preference lost to the raw prompt, in σ.
    """
    values = found.observed[0].values
    kinds = [m.settings.kind for m in found.plan.methods]
    chosen = [i for i, kind in enumerate(kinds) if kind not in ("raw", "pasted", "teacher", "edit")]
    chosen = chosen or [i for i, kind in enumerate(kinds) if kind != "raw"]
    raw = values[kinds.index("raw")]
    liked, content = NAMES.index("preference"), NAMES.index("integrity")
    sigma = float(np.nanstd(raw[:, liked])) if np.isfinite(raw[:, liked]).any() else 1.0
    badness = np.zeros(len(found.single))
    for i in chosen or [kinds.index("raw")]:
        gain = (values[i][:, liked] - raw[:, liked]) / (sigma or 1.0)
        lost = 1 - np.nan_to_num(values[i][:, content], nan=0.0)
        badness = np.maximum(badness, 3 * lost - np.nan_to_num(gain, nan=-3.0))
    return [int(i) for i in np.argsort(-badness, kind="stable")[:count]]


def case_rows(lake: Warehouse, plan: EvaluationPlan, found: Gathered) -> list[Row]:
    """The cases to show, each with what every method made of it and its picture."""
    places = shown_cases(found, plan.run.settings.evaluation.shown_cases)
    shas = _shas(lake, plan, [found.single[i]["case_id"] for i in places])
    told = ("raw_prompt", "instruction", "edit_kind", "intent", "target_prompt", "units")
    rows = []
    for place in places:
        case = found.single[place]
        answers = []
        for m in range(len(plan.methods)):
            values = dict(zip(NAMES, found.observed[0].values[m, place].tolist(), strict=True))
            scores = {name: values[name] for name in (*PICTURE_SCORES, "integrity")}
            answers += _answer(lake, found, m, case["case_id"], shas, scores)
        rows.append({name: case[name] for name in told} | {"answers": answers})
    return rows


def conversation_rows(lake: Warehouse, plan: EvaluationPlan, found: Gathered) -> list[Row]:
    """The conversations to show: each turn with every method's answer and its picture."""
    shown = shown_conversations(plan)
    shas = _shas(lake, plan, [case["case_id"] for turns in shown for case in turns])
    rows = []
    for cases in shown:
        before = dict.fromkeys(range(len(plan.methods)), cases[0]["raw_prompt"])
        turns = []
        for case in cases:
            answers = []
            for m in range(len(plan.methods)):
                text = found.text[m].get(case["case_id"], {})
                scores = {name: text[name] for name in ("integrity", "untouched") if name in text}
                for answer in _answer(lake, found, m, case["case_id"], shas, scores):
                    answers.append(answer | {"before": before[m]})
                    before[m] = answer["prompt"] or before[m]
            turns.append({"instruction": case["instruction"], "answers": answers})
        rows.append({"raw_prompt": cases[0]["raw_prompt"], "turns": turns})
    return rows


def _shas(lake: Warehouse, plan: EvaluationPlan, shown: list[str]) -> Shas:
    """Pictures of the main model and of the editors, under the first seed."""
    seed = plan.run.settings.evaluation.seeds[0]
    transfer = {tis.tis_id for tis in plan.tis[1:]}
    shas = {}
    for canvas, methods in plan.canvases():
        if canvas not in transfer:
            arguments = {"methods": methods, "tis": canvas, "seed": seed, "shown": shown}
            for method, case, sha in as_tuples(lake.query(PICTURES, arguments)):
                shas[method, case] = sha
    return shas


def _answer(
    lake: Warehouse, found: Gathered, m: int, case_id: str, shas: Shas,
    scores: Mapping[str, float],
) -> list[Row]:  # fmt: skip
    """What a method made of a case, as a list of one; of none where it was not asked."""
    method = found.plan.methods[m]
    output = found.outputs[m].get(case_id)
    if output is None:
        return []
    sha = shas.get((method.method_id, case_id))
    return [
        {
            "method": method.name,
            "kind": method.settings.kind,
            "prompt": None if method.settings.kind == "edit" else output["prompt"],
            "error": output["error"],
            "image": lake.images.thumbnail(sha) if sha else None,
            "scores": {name: float(v) for name, v in scores.items() if np.isfinite(v)},
        }
    ]
