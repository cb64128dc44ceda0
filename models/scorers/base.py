"""What every scorer is: an identity, and pictures in, float64 out, in batches."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from schemas.errors import ModelError
from schemas.settings import ScorerSettings

LOG = logging.getLogger(__name__)


class ScorerIdentity(NamedTuple):
    """One row of `scorers`: what a score is attributed to."""

    scorer_id: str
    weights_hash: str
    revision: int  # of the scorer's code: raised when the same weights give other values
    reads_intent: bool
    name: str
    measures: str  # aesthetics, preference, alignment, held_out


class Scorer(ABC):
    """A scorer in memory.  Subclasses implement `score_batch`; everyone calls `score`."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity):
        self.settings = settings
        self.identity = identity
        self.reads_intent = identity.reads_intent
        self.batch = settings.batch

    @abstractmethod
    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        """Scores (n,) of at most `batch` RGB pictures; `intents` is [] if they are not read."""

    def score(
        self, images: Sequence[Image.Image], intents: Sequence[str] | None = None
    ) -> np.ndarray:
        """Scores of N pictures: float64 (N,), larger is better, NaN where there is none.

        Raises ValueError if intents are needed and missing or not N, ModelError if memory does
        not suffice for a single picture.
        """
        if self.reads_intent and (intents is None or len(intents) != len(images)):
            given = "none" if intents is None else str(len(intents))
            raise ValueError(
                f"Scorer {self.settings.name} reads the intent: {len(images)} pictures need as "
                f"many intents, got {given}."
            )
        texts = list(intents) if self.reads_intent and intents is not None else []
        scores = np.full(len(images), np.nan)
        done = 0
        while done < len(images):
            some = slice(done, done + self.batch)
            # One object for each picture, so that a subclass can see what it has seen already.
            rgb = {id(image): image.convert("RGB") for image in images[some]}
            pictures = [rgb[id(image)] for image in images[some]]
            try:
                scores[some] = self.score_batch(pictures, texts[some])
            except (RuntimeError, MemoryError) as error:
                self._lower_batch(len(pictures), error)
                continue
            done += len(pictures)
        return scores

    def _lower_batch(self, size: int, error: BaseException) -> None:
        from models.device import free_memory, out_of_memory

        if not out_of_memory(error):
            raise error
        free_memory()
        if size <= 1:
            raise ModelError(
                f"Out of memory while scoring a single picture with {self.settings.name}: set "
                "its dtype to float16 or its device to cpu, or score after the TIS has been "
                f"unloaded. The device said: {str(error).splitlines()[0][:200]}"
            ) from error
        self.batch = size // 2
        LOG.warning("Out of memory: %s now scores %d at a time", self.settings.name, self.batch)


def cut_intents(name: str, tokenizer: Any, intents: Sequence[str], length: int) -> None:
    """Say which intents the published scorer reads only the first `length` tokens of.

    Both pictures of a pair are asked the same cut question, so their difference stands.
    """
    unique = [text for text in dict.fromkeys(intents) if len(text) > length]
    if not unique:
        return
    read = tokenizer(unique, truncation=False).input_ids
    cut = [text for text, ids in zip(unique, read, strict=True) if len(ids) > length]
    if cut:  # one line a batch: real prompts have many
        said = "%s reads only the first %d tokens of %d intents, such as %.80r"
        LOG.warning(said, name, length, len(cut), cut[0])
