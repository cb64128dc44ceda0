"""The reward of a finished prompt, from pictures of it and of the raw prompt on the same seeds.

    R = Σ_k w_k · clip(gain_k / σ_k, ±3) + w_c · CI(y)
        − w_l · max(0, tokens/budget − free) − w_r · phrases said again

gain_k is the mean over seeds of s_k(picture of y) − s_k(picture of the raw prompt), for k =
aesthetics and preference; both are asked for the intent, never for the candidate prompt.  σ_k is
the deviation of the starting model's gains over training prompts, measured once, frozen, and stored
with the run (DESIGN.md, Method).  The last two terms are controls of length and repetition (our
choice): without the latter, training learns to say "golden light, golden light".

A prompt over the text encoder's budget is never rendered: each of its gains counts as −3σ.
What renders and scores is passed in as a `Judge`; a `Surrogate` may stand in for it on most steps.
Leaves out caching, which is the judge's.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from models.integrity import content_integrity, repeated_phrases
from models.train.rollout import Question
from models.train.surrogate import Surrogate
from schemas.errors import DiffChatError, TrainingError
from schemas.training import RewardSettings

MEASURES = ("aesthetics", "preference")
# Pairs of prompt and intent → scores (N, 2) in the order of MEASURES, means over the seeds.
Judge = Callable[[Sequence[tuple[str, str]]], np.ndarray]


class Scored(NamedTuple):
    """One answer's reward and what it is made of."""

    total: float
    gains: tuple[float, float]  # in the scorers' units; NaN for a prompt that was not rendered
    parts: tuple[float, float]  # w_k · clip(gain_k/σ_k)
    integrity: float  # CI in [0, 1]
    tokens: int  # in the text encoder
    length_penalty: float
    repeats: int  # phrases said again
    too_long: bool


class Reward:
    """Scores answers to questions; `scales` must be set, by `calibrate` or from a stored run."""

    def __init__(
        self,
        settings: RewardSettings,
        judge: Judge,
        count_tokens: Callable[[str], int],
        token_budget: int,
        scales: tuple[float, float] | None = None,
        surrogate: Surrogate | None = None,
    ):
        self.settings, self.judge, self.surrogate = settings, judge, surrogate
        self.count_tokens, self.token_budget = count_tokens, token_budget
        self.scales = scales

    def calibrate(self, questions: Sequence[Question], answers: Sequence[str]) -> None:
        """Set σ_k from answers of the starting model.

        Raises TrainingError if the gains do not vary: the scorers see no difference then.
        """
        gains = self._gains(questions, answers, [self.count_tokens(text) for text in answers])
        scales = np.nanstd(gains, axis=0, ddof=1)
        if not (np.isfinite(scales).all() and (scales > 1e-6).all()):
            raise TrainingError(
                f"The gains of the starting model over {len(answers)} prompts have deviations "
                f"{scales.tolist()}: there is nothing to scale a reward by. Are the scorers and "
                "the text-to-image model those of the profile, and do answers differ from prompts?"
            )
        self.scales = (float(scales[0]), float(scales[1]))

    def __call__(
        self, questions: Sequence[Question], answers: Sequence[str], step: int | None = None
    ) -> list[Scored]:
        """The reward of each answer; raises TrainingError if a scorer fails or returns NaN.

        With a surrogate, `step` decides whether pictures are made; without a step they are.
        """
        if self.scales is None:
            raise ValueError("Reward.scales is not set: calibrate first.")
        tokens = [self.count_tokens(text) for text in answers]
        gains = self._gains(questions, answers, tokens, step)
        return [
            self._scored(question, text, row, count)
            for question, text, row, count in zip(questions, answers, gains, tokens, strict=True)
        ]

    def _scored(self, question: Question, text: str, gains: np.ndarray, tokens: int) -> Scored:
        settings, too_long = self.settings, tokens > self.token_budget
        scales = np.asarray(self.scales)
        in_sigma = np.full(2, -settings.clip) if too_long else gains / scales
        weights = np.array([settings.aesthetics, settings.preference])
        parts = weights * np.clip(in_sigma, -settings.clip, settings.clip)
        integrity = content_integrity(question.units, text).score
        beyond = max(0.0, tokens / self.token_budget - settings.length_free)
        length_penalty = settings.length_penalty * beyond
        repeats = len(repeated_phrases(text, question.raw_prompt))
        merits = float(parts.sum()) + settings.integrity * integrity
        total = merits - length_penalty - settings.repeat_penalty * repeats
        return Scored(
            total=total,
            gains=(float(gains[0]), float(gains[1])),
            parts=(float(parts[0]), float(parts[1])),
            integrity=integrity,
            tokens=tokens,
            length_penalty=length_penalty,
            repeats=repeats,
            too_long=too_long,
        )

    def _gains(
        self, questions: Sequence[Question], answers: Sequence[str], tokens: Sequence[int],
        step: int | None = None,
    ) -> np.ndarray:  # fmt: skip
        """(N, 2) gains; NaN in the rows whose prompt is too long to render."""
        gains = np.full((len(answers), len(MEASURES)), np.nan)
        rows = [row for row, count in enumerate(tokens) if count <= self.token_budget]
        pairs = [(answers[row], questions[row].intent) for row in rows]
        pairs += [(questions[row].raw_prompt, questions[row].intent) for row in rows]
        if not pairs:
            return gains
        scores = self._scores(pairs, step)
        gains[rows] = scores[: len(rows)] - scores[len(rows) :]
        return gains

    def _scores(self, pairs: list[tuple[str, str]], step: int | None) -> np.ndarray:
        """(N, 2) of the surrogate where it stands in, else of the judge, checked."""
        if self.surrogate is not None and self.surrogate.stands_in(step):
            return self.surrogate.predict(pairs)
        scores = np.asarray(self._judged(pairs), dtype=np.float64)
        if scores.shape != (len(pairs), len(MEASURES)):
            raise TrainingError(
                f"The judge gave {scores.shape} scores for {len(pairs)} prompts and "
                f"{len(MEASURES)} measures."
            )
        for pair, row in zip(pairs, scores, strict=True):
            if not all(map(math.isfinite, row)):
                raise TrainingError(
                    f"The scorers returned {row.tolist()} for the prompt {pair[0][:200]!r} and the "
                    f"intent {pair[1][:200]!r}: a reward that is no number teaches nothing. The "
                    "last checkpoint is kept: run the same command to go on, which makes and "
                    "scores it again. If it fails each time, another rl.seed asks for others."
                )
        if self.surrogate is not None:
            self.surrogate.learn(step, pairs, scores)
        return scores

    def _judged(self, pairs: list[tuple[str, str]]) -> np.ndarray:
        """What the judge says; whatever else it raises becomes a TrainingError."""
        try:
            return self.judge(pairs)
        except DiffChatError:
            raise
        except Exception as error:
            raise TrainingError(
                f"Pictures of {len(pairs)} prompts could not be made and scored "
                f"({type(error).__name__}: {error}). The last checkpoint is kept: run the same "
                "command to go on from it."
            ) from error
