"""Settings of the student and its training: sections [student], [sft] and [rl] of a profile."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Frozen
from schemas.units import EditKind

Dtype = Literal["auto", "float32", "float16", "bfloat16"]


class StudentSettings(Frozen):
    """The language model that is trained, by folder or hub id."""

    base: str = "models/embedded/weights/lm"
    dtype: Dtype = "auto"  # auto: float32 on a CPU, bfloat16 where the device has it
    device: str = "auto"
    max_new_tokens: int = Field(default=64, ge=1)  # of a rewritten prompt


class LoraTraining(Frozen):
    """Low-rank adapters instead of all weights (peft)."""

    rank: int = Field(default=16, ge=1)
    alpha: int = 32
    dropout: float = 0.05
    target_modules: tuple[str, ...] | str = "all-linear"


class SftSettings(Frozen):
    """Supervised fine-tuning; the defaults are those of the embedded student."""

    dataset_version: int | None = None  # None: the latest published one
    parquet: tuple[str, ...] = ()
    # files or globs beside the version, with the columns of published rows (`diffchat export`)
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    # optimiser steps; None: as many as the epochs hold
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: float = 0.03  # share of the steps; BeautifulPrompt
    weight_decay: float = 0.01
    batch: int = Field(default=32, ge=1)  # examples a device, packed rows with packing
    accumulate: int = Field(default=1, ge=1)  # batches an optimiser step
    max_length: int = 256  # tokens of an example; longer ones are reported and left out
    packing: bool = False  # several whole examples a row; else batches of like length, padded
    lora: LoraTraining | None = None  # None: all weights
    evaluate_every: int = Field(default=100, ge=1)
    # steps between checkpoints, each with the loss on the validation split
    validation_cases: int = Field(default=200, ge=0)  # of that split, for this loss
    gradient_checkpointing: bool = False  # a third slower, a fraction of the memory
    patience: int = Field(default=3, ge=0)
    # evaluations without a better loss before it stops; 0: never
    max_examples: int | None = None  # None: all of the train split
    measured_cases: int = 200  # of the test split, and half as many hard ones, before and after
    seed: int = 0


class AdmSettings(Frozen):
    """Action-space Dynamic Modification of off-policy rows; values are our choice."""

    positive_share: float = Field(default=0.25, ge=0, le=0.5)  # of a step's rows
    negative_share: float = Field(default=0.25, ge=0, le=0.5)  # hard negatives
    top_p: float = Field(default=0.95, gt=0, le=1)  # of the nucleus that is modified
    epsilon: float = Field(default=0.2, ge=0, le=1)  # chance to begin a missing unit
    continuation: float = Field(default=0.9, ge=0, le=1)
    # chance to go on with a begun one, and to begin one where the policy would have ended
    choice: Literal["policy", "uniform"] = "policy"  # law of what is begun or gone on with
    most_blocked: int = Field(default=2, ge=1)  # units of a hard negative that are blocked
    least_mass: float = 0.1  # of π̃ that blocking must leave; else the unit may be said
    plausible: float = 1e-3  # least π(C) to begin a missing unit, unless the answer would end
    weight_floor: float = 0.1  # of π_old/μ, for positives with a positive advantage
    weight_cap: float = 2.0
    credit: Literal["trace", "return"] = "trace"
    # of an off-policy row's tokens: cut where π would not have gone, or all that came after

    @model_validator(mode="after")
    def _half_is_on_policy(self) -> "AdmSettings":
        if self.positive_share + self.negative_share > 0.5:
            raise ValueError(
                f"positive_share {self.positive_share:g} and negative_share "
                f"{self.negative_share:g} leave less than half of the rows on-policy: together "
                "they may be 0.5 at most"
            )
        return self


class SurrogateSettings(Frozen):
    """A text-only stand-in for pictures on most steps; values are our choice."""

    every: int = Field(default=5, ge=1)  # steps from one that is rendered to the next
    least_rows: int = Field(default=500, ge=2)  # scored prompts without which it never stands in
    most_rows: int = 50_000  # of the warehouse's scored prompts
    ridge: float = Field(default=0.3, gt=0)


class RewardSettings(Frozen):
    """R = Σ w_k·clip(gain_k/σ_k, ±3) + w_c·CI − penalties (DESIGN.md, Method)."""

    aesthetics: float = 1.0
    preference: float = 1.0
    integrity: float = 2.0  # w_c; 0: no integrity in the reward
    clip: float = Field(default=3.0, gt=0)  # of a gain in σ
    seeds: tuple[int, ...] = (0,)  # of the renders a reward looks at
    calibration: int = Field(default=64, ge=2)  # training prompts whose SFT gains give σ
    length_penalty: float = 0.5  # for each share of the TIS's token budget beyond `length_free`
    length_free: float = 0.6  # share of the budget that costs nothing
    repeat_penalty: float = 1.0  # for each phrase that the prompt says again
    surrogate: SurrogateSettings | None = None  # None: every step is rendered


class RlSettings(Frozen):
    """Reinforcement learning from rendered images; defaults are those of the embedded student.

    Values marked BP are those of BeautifulPrompt (arXiv 2311.06752), the others our choice.
    """

    method: Literal["ppo", "rloo", "grpo"] = "ppo"
    dataset_version: int | None = None  # None: the latest published one
    parquet: tuple[str, ...] = ()  # as `sft.parquet`
    steps: int = Field(default=40, ge=1)  # rollouts
    prompts: int = Field(default=8, ge=1)  # a step
    samples: int = Field(default=4, ge=1)  # answers a prompt; BP has 64 rollouts a step
    kind_shares: dict[EditKind, Annotated[float, Field(gt=0, le=1)]] = Field(default={})
    # of a step's prompts, by kind of edit; the other kinds share what is left as the data has them
    epoch_steps: int | None = Field(default=None, ge=1)
    # after so many, the same questions in the same order; None: all once, then in another order
    learning_rate: float = 2e-4  # BP: 5e-6 for 1.1 B parameters
    value_learning_rate: float = 1e-3
    warmup_steps: int = 3  # of the policy's learning rate
    schedule: Literal["linear", "constant"] = "linear"  # of it after that; linear: down to zero
    epochs: int = Field(default=2, ge=1)  # passes over a step's rows; BP: 4
    minibatch: int = Field(default=16, ge=1)  # rows a gradient step
    clip: float = 0.2  # BP
    value_clip: float = 0.2  # BP has it for ratios
    baseline: Literal["question", "none"] = "question"
    # of pictures' gains: the mean of the question's other on-policy answers
    gamma: float = 1.0  # BP
    lam: float = 0.95  # BP
    kl_coefficient: float = 0.05  # BP; start of the adaptive one
    kl_target: float = 6.0  # BP; nats an answer
    kl_horizon: int = 400  # rows over which the coefficient adapts
    kl_limit: float = 60.0  # nats an answer: diverged
    entropy_bonus: float = 0.0  # times the mean entropy a token
    entropy_floor: float = 0.01  # nats a token: collapsed, so diverged
    advantage_limit: float = 5.0  # |A| after whitening
    max_grad_norm: float = 1.0
    value_warmup_updates: int = 20  # of the value alone, before the first of the policy
    integrity_value: bool = True  # V = w_c·CI(prefix) + v(h, f); off: V = v(h)
    adm: AdmSettings = AdmSettings()
    reward: RewardSettings = RewardSettings()
    ahead: Literal["auto", "always", "never"] = "auto"
    # render the next step's answers beside the update; auto: if that has a device of its own
    checkpoint_every: int = Field(default=10, ge=1)  # steps
    samples_every: int = Field(default=10, ge=1)  # steps between stored samples with pictures
    max_examples: int | None = None  # None: all of the train split
    seed: int = 0

    @model_validator(mode="after")
    def _fits_together(self) -> "RlSettings":
        total = sum(self.kind_shares.values())
        if total > 1:
            raise ValueError(
                f"kind_shares add up to {total:g}: they are shares of a step, at most 1"
            )
        if self.method != "ppo" and self.samples < 2:
            raise ValueError(
                f"{self.method} compares the answers to a question: samples must be 2 at least"
            )
        return self
