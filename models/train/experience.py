"""Experience: what a step asks, the policy's answers, and their rewards — in time or one ahead.

With `ahead`, the answers of the next step are sampled before the update of this one, and their
pictures are made and scored in a thread while it runs: worth it where the text-to-image model has
a device of its own.  The next update then learns from a policy one step old, which PPO's ratio
takes into account (asynchronous RLHF, arXiv 2410.18252).  Nothing runs ahead over a checkpoint, so
a run that goes on from one computes the same numbers.

Leaves out learning (`rl`) and what a reward is made of (`reward`).
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch

from models.train.asking import Asker
from models.train.clock import Clock
from models.train.reward import Reward, Scored
from models.train.rollout import ON_POLICY, Question, Rollout, plan_kinds, roll_out
from schemas.training import RlSettings


class Step(NamedTuple):
    """What one step learns from."""

    rollout: Rollout
    scored: list[Scored]
    stale: bool  # sampled by the policy before the last update


class Experience:
    """Steps in order; everything random in one is a function of (seed, step, rank)."""

    def __init__(
        self,
        policy: Any,
        questions: Sequence[Question],
        reward: Reward,
        settings: RlSettings,
        *,
        max_new_tokens: int,
        accelerator: Any,
        clock: Clock,
        ahead: bool = False,
    ) -> None:
        self.policy, self.questions, self.reward = policy, list(questions), reward
        self.asker = Asker(questions, settings, accelerator.num_processes)
        self.settings, self.max_new_tokens, self.clock = settings, max_new_tokens, clock
        self.rank, self.ranks = accelerator.process_index, accelerator.num_processes
        self._pool = ThreadPoolExecutor(max_workers=1) if ahead else None
        self._next: tuple[int, Rollout, Future[list[Scored]]] | None = None

    def take(self, step: int) -> Step:
        """Answers and rewards of `step`; raises what the reward raises."""
        if self._next is not None and self._next[0] == step:
            _, rollout, future = self._next
            self._next = None
            with self.clock("reward"):
                found = Step(rollout, future.result(), stale=True)
        else:
            rollout = self._sample(step)
            with self.clock("reward"):
                scored = self.reward(rollout.questions, rollout.texts, step)
            found = Step(rollout, scored, stale=False)
        if self._pool is not None and self._may_run_ahead(step):
            rollout = self._sample(step + 1)
            future = self._pool.submit(self.reward, rollout.questions, rollout.texts, step + 1)
            self._next = (step + 1, rollout, future)
        return found

    def settle(self) -> None:
        """Wait for what runs ahead: the warehouse takes one caller at a time."""
        if self._next is not None:
            with self.clock("reward"):
                self._next[2].exception()  # raised where the step is taken

    def close(self) -> None:
        """End the thread; what it was doing is done to its end."""
        if self._pool is not None:
            self._pool.shutdown()

    def calibrate(self) -> None:
        """Freeze σ: sampled answers of the starting model to the first training prompts."""
        calibrate(self.policy, self.questions, self.reward, self.settings, self.max_new_tokens)

    def _may_run_ahead(self, step: int) -> bool:
        done = step + 1
        return done < self.settings.steps and done % self.settings.checkpoint_every != 0

    def _sample(self, step: int) -> Rollout:
        asked = self.asked(step)
        generator = torch.Generator().manual_seed(seed_of(self.settings, step, self.rank))
        with self.clock("generate"):
            return roll_out(
                self.policy.model, self.policy.tokenizer, asked,
                plan_kinds(len(asked), self.settings.adm), adm=self.settings.adm,
                max_new_tokens=self.max_new_tokens, generator=generator,
            )  # fmt: skip

    def asked(self, step: int) -> list[Question]:
        """`prompts` × `samples` rows of this rank: all its prompts once, then again."""
        return self.asker.step(step)[self.rank :: self.ranks] * self.settings.samples


def calibrate(
    policy: Any, questions: Sequence[Question], reward: Reward, settings: RlSettings,
    max_new_tokens: int,
) -> None:  # fmt: skip
    """Set the reward's σ from sampled answers of `policy` to the first questions."""
    asked = list(questions[: settings.reward.calibration])
    generator = torch.Generator().manual_seed(seed_of(settings, -1, 0))
    rollout = roll_out(
        policy.model, policy.tokenizer, asked, [ON_POLICY] * len(asked),
        adm=settings.adm, max_new_tokens=max_new_tokens, generator=generator,
    )  # fmt: skip
    reward.calibrate(rollout.questions, rollout.texts)


def seed_of(settings: RlSettings, step: int, rank: int) -> int:
    """Seed of a rank's step; step -1 is the calibration."""
    return (settings.seed * 1_000_003 + step + 1) * 1_009 + rank
