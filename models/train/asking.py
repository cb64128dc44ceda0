"""Which questions a step asks: each once an epoch, kinds of edit in the shares of the settings.

    asker = Asker(questions, settings)
    asker.step(3)              # the questions of step 3, over all processes, in order

A step's order is a function of (seed, step) alone.  With `rl.epoch_steps` an epoch is cut short and
asked again in the same order, so that a short run can compare its end with its beginning.  Shares
matter because answers to most instructions hardly differ: where a policy says the same thing every
time, pictures teach nothing.
Leaves out answering (`experience`).
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import torch

from models.train.rollout import Question
from schemas.errors import TrainingError
from schemas.training import RlSettings

LOG = logging.getLogger(__name__)


class Pool(NamedTuple):
    """Questions of one kind, or of all kinds that have no share, and how many a step asks."""

    questions: tuple[Question, ...]
    count: int


class Asker:
    """`ranks`: processes that share a step, each with `settings.prompts` questions."""

    def __init__(self, questions: Sequence[Question], settings: RlSettings, ranks: int = 1):
        """Raises TrainingError if there are no questions."""
        if not questions:
            raise TrainingError(
                "There is nothing to train on: the dataset version has no rows in its train split."
            )
        self.seed, self.epoch_steps = settings.seed, settings.epoch_steps
        self.pools = _pools(questions, settings, settings.prompts * ranks)
        self._order = lru_cache(maxsize=len(self.pools) * 2)(self._new_order)

    def step(self, step: int) -> list[Question]:
        """`prompts` × ranks questions."""
        if self.epoch_steps:
            step %= self.epoch_steps
        asked = []
        for number, pool in enumerate(self.pools):
            for place in range(step * pool.count, (step + 1) * pool.count):
                epoch, index = divmod(place, len(pool.questions))
                asked.append(pool.questions[self._order(number, epoch)[index]])
        return asked

    def _new_order(self, pool: int, epoch: int) -> list[int]:
        generator = torch.Generator().manual_seed(self.seed * 7_919 + epoch * 31 + pool)
        return torch.randperm(len(self.pools[pool].questions), generator=generator).tolist()


def _pools(questions: Sequence[Question], settings: RlSettings, count: int) -> list[Pool]:
    """A pool for each kind with a share, rounded down to whole questions, and one for the rest.

    Where there is no question of a kind, the rest get its share: small versions lack some kinds.
    """
    shares = settings.kind_shares
    found = []
    for kind, share in shares.items():
        its = tuple(question for question in questions if question.edit_kind == kind)
        if its:
            found.append(Pool(its, int(share * count)))
        else:
            LOG.warning(
                "rl.kind_shares: there is no row of the kind %r; others are asked", kind.value
            )
    left = count - sum(pool.count for pool in found)
    others = tuple(q for q in questions if q.edit_kind not in shares) or tuple(questions)
    return [*found, Pool(others, left)] if left else found
