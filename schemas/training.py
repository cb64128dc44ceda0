"""Settings of the student and its training: sections [student], [sft] and [rl] of a profile."""

from typing import Literal

from pydantic import Field

from schemas.base import Frozen

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
    epochs: float = 1.0
    max_steps: int | None = None  # optimiser steps; None: as many as the epochs hold
    learning_rate: float = 2e-3
    schedule: str = "cosine"  # of transformers' schedulers
    warmup_ratio: float = 0.03  # share of the steps; BeautifulPrompt
    weight_decay: float = 0.01
    batch: int = Field(default=16, ge=1)  # sequences a device
    accumulate: int = Field(default=1, ge=1)  # batches an optimiser step
    max_length: int = 256  # tokens of an example; longer ones are reported and left out
    packing: bool = True
    lora: LoraTraining | None = None  # None: all weights
    evaluate_every: int = 100  # steps between losses on the validation split
    gradient_checkpointing: bool = False  # a third slower, a fraction of the memory
    patience: int | None = 3  # evaluations without a better loss before it stops; None: never
    max_examples: int | None = None  # None: all of the train split
    measured_cases: int = 200  # of the test split, answered before and after training
    seed: int = 0


class RlSettings(Frozen):
    """Reinforcement learning from rendered images (DESIGN.md, Method)."""

    seed: int = 0
