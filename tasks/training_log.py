"""What a training reports while it runs: to the warehouse, to TensorBoard and to the bar."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models.train.distributed import is_main
from models.train.events import Events
from schemas.records import TRAINING_LOG, TRAINING_SAMPLES
from warehouse import Warehouse

if TYPE_CHECKING:
    from tasks.judging import Judge

TERMS = (
    "reward", "integrity", "aesthetic_gain", "preference_gain", "kl", "tokens",
    # what a surrogate was off by at the steps that were rendered
    "surrogate_error_aesthetics", "surrogate_rank_aesthetics",
    "surrogate_error_preference", "surrogate_rank_preference",
)  # fmt: skip


def append_log(lake: Warehouse, model_id: str, entries: Iterable[tuple[int, str, float]]) -> None:
    """Commit (step, term, value) rows of `training_log`."""
    rows = [
        {"model_id": model_id, "step": step, "term": term, "value": value}
        for step, term, value in entries
    ]
    if rows:
        lake.append("training_log", pa.Table.from_pylist(rows, schema=TRAINING_LOG))


def total(lake: Warehouse, model_id: str, term: str) -> float:
    """The sum of a term over the steps of a run."""
    rows = lake.query(
        "SELECT coalesce(sum(value), 0) AS total FROM training_log "
        "WHERE model_id = $1 AND term = $2",
        [model_id, term],
    )
    return rows.to_pylist()[0]["total"]


class Report:
    """What an RL step says; rows are committed at every `every`-th step.

    `drift` holds what a surrogate's error was, by step as the loop counts (from 0).
    """

    def __init__(
        self, lake: Warehouse, model_id: str, events: Path, advance: Callable[[int], None],
        every: int, drift: Mapping[int, dict[str, float]],
    ) -> None:  # fmt: skip
        self.lake, self.model_id, self.advance, self.every = lake, model_id, advance, every
        self._drift, self._folder = drift, events
        self._events: Events | None = None
        self._rows: list[tuple[int, str, float]] = []
        self._done = 0

    def __call__(self, step: int, terms: dict[str, float]) -> None:
        if not is_main():  # the first process speaks for all
            return
        if self._events is None:  # a run that goes on keeps what was shown of the steps before
            self._events = Events(self._folder, done=step - 1)
        terms = terms | self._drift.get(step - 1, {})
        self._events(step, terms)
        self._rows += [(step, name, number) for name, number in terms.items()]
        if step % self.every == 0:
            self.flush()
            self.lake.tidy()  # every step commits pictures and scores
        self.advance(step - self._done)  # a run that goes on begins in the middle
        self._done = step

    def flush(self) -> None:
        append_log(self.lake, self.model_id, self._rows)
        self._rows = []

    def close(self) -> None:
        self.flush()
        if self._events is not None:
            self._events.close()


class Samples:
    """Stores a step's answers with the pictures that its reward looked at."""

    def __init__(self, lake: Warehouse, model_id: str, judge: "Judge") -> None:
        self.lake, self.model_id, self.judge = lake, model_id, judge

    def __call__(self, step: int, rollout: Any, scored: list[Any]) -> None:
        if not is_main():
            return
        prompts = [q.raw_prompt for q in rollout.questions]
        prompts += [t for t, row in zip(rollout.texts, scored, strict=True) if not row.too_long]
        pictures = self.judge.images(prompts)

        def of(prompt: str) -> list[str | None]:
            return [pictures.get((prompt, seed)) for seed in self.judge.seeds]

        rows = [
            {
                "model_id": self.model_id, "step": step, "sample": index,
                "triple_id": question.question_id, "row_kind": kind,
                "raw_prompt": question.raw_prompt, "instruction": question.instruction,
                "prompt": text, "integrity": row.integrity, "reward": row.total,
                "raw_images": of(question.raw_prompt), "images": of(text),
            }
            for index, (question, kind, text, row) in enumerate(
                zip(rollout.questions, rollout.kinds, rollout.texts, scored, strict=True)
            )
        ]  # fmt: skip
        self.lake.append("training_samples", pa.Table.from_pylist(rows, schema=TRAINING_SAMPLES))


def with_drift(
    history: Iterable[dict[str, float]], drift: Mapping[int, dict[str, float]]
) -> list[dict[str, float]]:
    """The terms of each step and, of a rendered one, what the surrogate was off by.

    `drift` counts steps from 0, `history` from 1.
    """
    return [terms | drift.get(int(terms["step"]) - 1, {}) for terms in history]


def fifths(history: list[dict[str, float]], epoch_steps: int | None = None) -> dict[str, Any]:
    """Means of the first and last fifth of the steps, and how far the reward rose between them.

    The error of the rise is over steps.  With `rl.epoch_steps`, steps of both fifths that ask the
    same questions are compared with each other: rewards differ far more by question than by
    what a policy learns, and between other steps that is all noise.
    """
    fifth = max(1, len(history) // 5)
    first, last = history[:fifth], history[-fifth:]
    found: dict[str, Any] = {}
    for name, part in (("first_fifth", first), ("last_fifth", last)):
        for term in TERMS:
            numbers = [row[term] for row in part if term in row]
            if numbers:
                found[f"{term}_{name}"] = round(statistics.fmean(numbers), 4)
    if fifth == 1:
        return found
    before, after = ([row["reward"] for row in part] for part in (first, last))
    paired = bool(epoch_steps) and (len(history) - fifth) % (epoch_steps or 1) == 0
    if paired:
        spread = statistics.stdev(b - a for a, b in zip(before, after, strict=True))
    else:
        spread = math.hypot(statistics.stdev(before), statistics.stdev(after))
    rise = statistics.fmean(after) - statistics.fmean(before)
    error = spread / fifth**0.5
    return found | {
        "reward_rise": round(rise, 4), "reward_rise_error": round(error, 4),
        "reward_rise_paired": paired,
    }  # fmt: skip
