"""Scores that the warehouse holds, as what a surrogate is first fitted on."""

import numpy as np

from models.train.surrogate import NAMES, Known
from schemas.training import RewardSettings
from tasks.plan import Plan
from warehouse import Warehouse

# Of each prompt, the means over the reward's seeds; preference under every intent it was asked.
# Not of prompts that a test split holds: what is measured there must be news to the policy.
KNOWN = """
WITH kept AS (
    SELECT prompt FROM published_rows, unnest([raw_prompt, target_prompt]) AS _(prompt)
    WHERE split = 'test'
), seen AS (
    SELECT render_id, prompt FROM renders
    WHERE tis_id = $tis AND status = 'ok' AND seed IN (SELECT unnest($seeds::BIGINT[]))
        AND prompt NOT IN (SELECT prompt FROM kept)
), rated AS (
    SELECT scorer_id, prompt, intent, avg(value) AS value
    FROM scores JOIN seen USING (render_id) WHERE status = 'ok' GROUP BY ALL
)
SELECT p.prompt, p.intent, a.value AS aesthetics, p.value AS preference
FROM rated AS p JOIN rated AS a USING (prompt)
WHERE p.scorer_id = $preference AND a.scorer_id = $aesthetics AND p.intent IS NOT NULL
ORDER BY hash(p.prompt, p.intent), p.prompt, p.intent LIMIT $most
"""


def known_scores(lake: Warehouse, plan: Plan, reward: RewardSettings) -> Known:
    """Scored prompts under the profile's text-to-image model and scorers, in an arbitrary order
    that is always the same: the first `most_rows` are no more alike than others."""
    assert plan.tis is not None
    assert reward.surrogate is not None
    by_measure = {scorer.measures: scorer.scorer_id for scorer in plan.scorers}
    table = lake.query(
        KNOWN,
        {
            "tis": plan.tis.tis_id, "seeds": list(reward.seeds), "most": reward.surrogate.most_rows,
            "aesthetics": by_measure["aesthetics"], "preference": by_measure["preference"],
        },
    )  # fmt: skip
    pairs = list(zip(table["prompt"].to_pylist(), table["intent"].to_pylist(), strict=True))
    return Known(pairs, np.stack([table[name].to_numpy() for name in NAMES], axis=1))
