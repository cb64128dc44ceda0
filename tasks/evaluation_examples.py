"""The cases that a report shows, worst first, each with what every method made of it."""

from collections.abc import Mapping

import numpy as np

from models.evaluation.metrics import PICTURE_SCORES
from models.evaluation.summary import NAMES, Row
from tasks.evaluation_gathering import Gathered, as_tuples
from tasks.evaluation_plan import EvaluationPlan
from warehouse import Warehouse

PICTURES = """
SELECT o.method_id, o.case_id, any_value(r.image_sha256) AS sha
FROM pictured_outputs($cases, $methods::VARCHAR[]) AS o
JOIN renders AS r ON r.prompt = o.prompt AND r.tis_id = $tis AND r.status = 'ok' AND r.seed = $seed
WHERE list_contains($shown::VARCHAR[], o.case_id)
GROUP BY ALL
"""


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
    shown = [found.single[i]["case_id"] for i in places]
    shas: dict[tuple[str, str], str] = {}
    seed = plan.run.settings.evaluation.seeds[0]
    for canvas, methods in plan.canvases():
        if canvas in {tis.tis_id for tis in plan.tis[1:]}:
            continue
        arguments = {"cases": plan.case_set_id, "methods": methods, "tis": canvas,
                     "seed": seed, "shown": shown}  # fmt: skip
        for method, case, sha in as_tuples(lake.query(PICTURES, arguments)):
            shas[method, case] = sha
    rows = []
    for place in places:
        case = found.single[place]
        answers = [_answer_row(lake, found, m, place, shas) for m in range(len(plan.methods))]
        rows.append(
            {name: case[name] for name in ("raw_prompt", "instruction", "edit_kind", "intent",
                                           "target_prompt", "units")}
            | {"answers": [answer for answer in answers if answer]}
        )  # fmt: skip
    return rows


def _answer_row(
    lake: Warehouse, found: Gathered, m: int, place: int, shas: Mapping[tuple[str, str], str]
) -> Row | None:
    method, case_id = found.plan.methods[m], found.single[place]["case_id"]
    output = found.outputs[m].get(case_id)
    if output is None:
        return None
    values = found.observed[0].values[m, place]
    sha = shas.get((method.method_id, case_id))
    return {
        "method": method.name,
        "kind": method.settings.kind,
        "prompt": None if method.settings.kind == "edit" else output["prompt"],
        "error": output["error"],
        "image": lake.images.thumbnail(sha) if sha else None,
        "scores": {
            name: float(values[NAMES.index(name)])
            for name in (*PICTURE_SCORES, "integrity")
            if np.isfinite(values[NAMES.index(name)])
        },
    }
