"""VQAScore: the probability that a vision-language model answers "yes".

Lin et al. 2024, arXiv 2404.01291: P("Yes" | picture, 'Does this figure show "{intent}"? Please
answer yes or no.').  Any `transformers` image-text-to-text checkpoint with a chat template whose
processor needs no torchvision (LLaVA, PaliGemma, BLIP …).  The published CLIP-FlanT5 is no
transformers model; its numbers are not reproduced, its definition is.
"""

from typing import Any

import numpy as np
from PIL import Image

from models.device import pick_device, pick_dtype
from models.loading import load_model
from models.scorers.base import Scorer, ScorerIdentity
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError
from schemas.settings import ScorerSettings

QUESTION = 'Does this figure show "{}"? Please answer yes or no.'
YES = ("Yes", "yes", " Yes", " yes", "YES")


class VqaScore(Scorer):
    """Probability (0 to 1) that the picture shows the intent."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        super().__init__(settings, identity)
        assert found.folder is not None
        self.device = pick_device(settings.device, f"scorer {settings.name}.device")
        dtype = pick_dtype(settings.dtype, self.device, prefer_bfloat16=True)
        self.model = load_model(found.folder, dtype, self.device, AutoModelForImageTextToText)
        try:
            self.processor: Any = AutoProcessor.from_pretrained(
                found.folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:
            raise ModelError(
                f"The processor in {found.folder} cannot be loaded: {error} Processors that read "
                "video need torchvision, which is not installed; take a model without."
            ) from error
        self.processor.tokenizer.padding_side = "left"  # so that the last position is the answer
        self.yes = self._first_tokens(YES)
        if not self.yes or not getattr(self.processor, "chat_template", None):
            lacking = "chat template" if self.yes else "single token for 'yes'"
            raise ModelError(
                f"The processor in {found.folder} has no {lacking}, so nothing can be asked and "
                "every score would mean nothing: take an instruction-tuned image-text model."
            )

    def _first_tokens(self, words: tuple[str, ...]) -> list[int]:
        tokenizer = self.processor.tokenizer
        ids = [tokenizer(word, add_special_tokens=False).input_ids for word in words]
        # A word of several pieces would count everything that begins like it ("Y…").
        return sorted({i[0] for i in ids if len(i) == 1 and i[0] != tokenizer.unk_token_id})

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        texts = [self._question(intent) for intent in intents]
        inputs = self.processor(
            images=[[image] for image in images], text=texts, padding=True, return_tensors="pt"
        ).to(self.device)
        if "pixel_values" in inputs:
            inputs["pixel_values"] = inputs["pixel_values"].to(self.model.dtype)
        with torch.inference_mode():
            logits = self.model(**inputs, use_cache=False, logits_to_keep=1).logits[:, -1]
            return logits.double().softmax(-1)[:, self.yes].sum(-1).cpu().numpy()

    def _question(self, intent: str) -> str:
        turn = [{"type": "image"}, {"type": "text", "text": QUESTION.format(intent)}]
        return self.processor.apply_chat_template(
            [{"role": "user", "content": turn}], add_generation_prompt=True, tokenize=False
        )
