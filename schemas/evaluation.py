"""Settings of evaluation and promotion: sections [evaluation] and [promotion] of a profile."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from schemas.base import Frozen

MethodKind = Literal[
    "raw",  # the raw prompt as it is: what every other method is compared with
    "pasted",  # raw prompt and instruction, joined by a comma
    "teacher",  # the case's target
    "model",  # a model version or any folder with a chat template
    "best_of_n",  # the best of n samples of a model, by the reward's scorers
    "rewriter",  # somebody else's transformers rewriter, in its own input format
    "endpoint",  # an OpenAI-compatible endpoint
    "edit",  # direct editing of the raw prompt's picture (InstructPix2Pix)
]


class MethodSettings(Frozen):
    """One column of the report.  `name` is what it is called there."""

    kind: MethodKind
    name: str | None = None  # None: made from kind and model
    model: str | None = None  # model version, folder, hub id, or the endpoint's model name
    n: int = Field(default=4, ge=2, le=64)  # samples of best_of_n
    temperature: float = 0.8  # of best_of_n; everything else is greedy
    seed: int = 0  # of the samples
    format: Literal["promptist", "beautifulprompt", "plain"] = "plain"  # of a rewriter's input
    base_url: str | None = None  # of an endpoint, such as https://host/v1
    api_key_env: str = "OPENAI_API_KEY"  # name of the variable, never the key itself
    timeout_s: float = 60.0
    concurrency: int = Field(default=8, ge=1)
    # of direct editing, as in [tis]
    steps: int = Field(default=20, ge=1)
    guidance: float = 7.5  # InstructPix2Pix, section 3.2 and its published demo
    image_guidance: float = 1.5  # the same
    options: Mapping[str, Any] = Field(default_factory=dict)  # further tis settings of the editor


class EvaluationSettings(Frozen):
    methods: tuple[MethodSettings, ...] = (
        MethodSettings(kind="raw"),
        MethodSettings(kind="pasted"),
        MethodSettings(kind="teacher"),
    )  # beside the models named on the command line
    dataset_version: int | None = None  # None: the latest published one
    max_cases: int | None = None  # of the test split, by hash; None: all
    seeds: tuple[int, ...] = (100, 101)  # the same for every method; not those of the build
    transfer: tuple[str, ...] = ()  # folders or hub ids of TIS models that training never saw
    turns: int = Field(default=5, ge=1)  # of the conversations made of the test split; 1: none
    max_conversations: int = 20  # each of `turns` cases, judged by text
    image_integrity: bool = True  # ask the alignment scorer for each unit of each picture
    resamples: int = Field(default=2_000, ge=200)  # of the bootstrap
    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    tie_margin: float = 0.1  # σ of the raw prompts' scores below which a case is a tie; our choice
    bootstrap_seed: int = 0
    shown_cases: int = 24  # pictures are the weight of a page
    shown_conversations: int = 3  # with a picture a turn and method


class PromotionSettings(Frozen):
    """What a candidate must fulfil to become champion, compared with the champion or with raw."""

    not_worse: tuple[str, ...] = ("aesthetics", "preference", "alignment", "held_out", "integrity")
    # none of these may be worse: its interval must not lie below zero
    better: tuple[str, ...] = ()  # at least one of these must be better; empty: no such demand
    min_integrity: float | None = 0.7  # mean content integrity, in [0, 1]; our choice
    max_overflow: float = 0.05  # share of prompts over the token budget, or not rendered
    max_alarms: int = 0  # detectors of reward hacking that may fire
    min_cases: int = 10  # fewer cases decide nothing
