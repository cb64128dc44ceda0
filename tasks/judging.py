"""Scores of any prompts under any intents, through the warehouse: nothing is made twice.

The same set difference as in a build, for prompts that are no triples (yet): renders and scores
are looked up by content id, the missing ones computed in batches and committed.  A `Judge` is what
a reward is given (`models.train.reward`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.train.clock import Clock
from schemas.errors import SettingsError
from schemas.identity import render_id, score_id
from tasks.plan import Plan
from tasks.rendering import render_rows
from tasks.scoring import score_rows
from warehouse import Warehouse

Row = dict[str, Any]


class Judge:
    """Means over `seeds` of the scorers' values, (N, K) in the order of `measures`.

    `asked` counts the pictures that were judged, found or made; `rendered` those that were made;
    `clock` has the seconds of "render" and "score", look-ups included.  A picture or score
    that failed is NaN.
    """

    def __init__(
        self, lake: Warehouse, plan: Plan, seeds: Sequence[int], measures: Sequence[str]
    ) -> None:
        """Raises SettingsError if the profile has no scorer for a measure, or renders nothing."""
        if plan.tis is None:
            raise SettingsError("render.enabled is false: there are no pictures to judge by.")
        self.lake, self.plan, self.tis_id = lake, plan, plan.tis.tis_id
        self.seeds = tuple(seeds)
        by_measure = {
            chosen.measures: (identity, chosen)
            for identity, chosen in zip(plan.scorers, plan.settings.scorers, strict=True)
        }
        absent = [measure for measure in measures if measure not in by_measure]
        if absent:
            raise SettingsError(
                f"The profile {plan.settings.profile!r} has no scorer that measures "
                f"{', '.join(absent)}: add a [[scorers]] entry."
            )
        self.scorers = [by_measure[measure] for measure in measures]
        self.asked = self.rendered = 0
        self.clock = Clock()
        self._values: dict[str, float] = {}

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
        self.asked += len(pairs) * len(self.seeds)
        with self.clock("render"):
            pictures = self.images([prompt for prompt, _ in pairs])
        wanted: dict[str, Row] = {}
        ids = []
        for prompt, intent in pairs:
            for seed in self.seeds:
                render = render_id(prompt, self.tis_id, seed)
                for scorer, _ in self.scorers:
                    text = intent if scorer.reads_intent else None
                    score = score_id(render, scorer.scorer_id, text)
                    ids.append(score)
                    wanted[score] = {
                        "render_id": render, "scorer_id": scorer.scorer_id, "intent": text,
                        "image_sha256": pictures.get((prompt, seed)),
                    }  # fmt: skip
        with self.clock("score"):
            self._score({i: row for i, row in wanted.items() if i not in self._values})
        values = np.array([self._values.get(i, np.nan) for i in ids])
        return values.reshape(len(pairs), len(self.seeds), len(self.scorers)).mean(axis=1)

    def images(self, prompts: Sequence[str]) -> dict[tuple[str, int], str]:
        """SHA-256 of each (prompt, seed)'s picture, rendered now if need be; failed ones absent."""
        wanted = {
            render_id(prompt, self.tis_id, seed): (prompt, seed)
            for prompt in dict.fromkeys(prompts)
            for seed in self.seeds
        }
        known = self._known("renders", "render_id", list(wanted), "image_sha256")
        missing = [
            {"prompt": prompt, "seed": seed, "attempt": known.get(i, (None, 0))[1] + 1}
            for i, (prompt, seed) in wanted.items()
            if known.get(i, (None, 0))[0] is None
        ]
        found = {wanted[i]: sha for i, (sha, _) in known.items() if sha is not None}
        if missing:
            for record in self._render(missing):
                if record["image_sha256"] is not None:
                    found[record["prompt"], record["seed"]] = record["image_sha256"]
        return found

    def _render(self, rows: list[Row]) -> list[Row]:
        records = render_rows(self.lake, self.plan.settings.tis, self.tis_id, rows)
        self.rendered += len(records)
        return records

    def _score(self, wanted: dict[str, Row]) -> None:
        known = self._known("scores", "score_id", list(wanted), "value")
        self._values |= {i: value for i, (value, _) in known.items() if value is not None}
        missing = [
            row | {"attempt": known.get(i, (None, 0))[1] + 1}
            for i, row in wanted.items()
            if i not in self._values and row["image_sha256"] is not None
        ]
        if missing:
            settings = [chosen for _, chosen in self.scorers]
            identities = [identity for identity, _ in self.scorers]
            records = score_rows(self.lake, settings, identities, missing)
            self._values |= {r["score_id"]: r["value"] for r in records if r["value"] is not None}

    def _known(
        self, table: str, key: str, ids: list[str], column: str
    ) -> dict[str, tuple[Any, int]]:
        """Id → (value of an ok row or None, attempts so far)."""
        if not ids:
            return {}
        rows = self.lake.query(
            f"SELECT {key} AS id, max(attempt) AS attempts, "
            f"any_value({column}) FILTER (status = 'ok') AS found FROM {table} "
            f"WHERE {key} IN (SELECT unnest($1::VARCHAR[])) GROUP BY {key}",
            [ids],
        ).to_pylist()
        return {row["id"]: (row["found"], row["attempts"]) for row in rows}
