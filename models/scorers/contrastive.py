"""Scorers made of an image and a text encoder: PickScore, CLIPScore, and models of that type.

Any `transformers` checkpoint with `get_image_features` and `get_text_features` will do (CLIPModel,
SiglipModel, ChineseCLIP …): the configuration says which.
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.device import pick_device, pick_dtype
from models.loading import load_model, load_tokenizer
from models.scorers.base import Scorer, ScorerIdentity, cut_intents
from models.scorers.pixels import Pixels
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError
from schemas.settings import ScorerSettings


class ImageTextModel:
    """Normalised embeddings of pictures and texts from one checkpoint folder."""

    def __init__(self, folder: Path, device: str, dtype: str, key: str):
        self.device = pick_device(device, f"{key}.device")
        self.dtype = pick_dtype(dtype, self.device)
        self.model = load_model(folder, self.dtype, self.device)
        config = self.model.config
        if not hasattr(self.model, "get_image_features") or not hasattr(config, "vision_config"):
            raise ModelError(
                f"{folder} is a {type(self.model).__name__}, which does not embed pictures and "
                "texts in one space; a CLIP- or SigLIP-type checkpoint is needed."
            )
        self.pixels = Pixels.from_folder(folder, config.vision_config.image_size)
        self.text_length = int(config.text_config.max_position_embeddings)
        self.tokenizer = load_tokenizer(folder)
        self.siglip = config.model_type.startswith("siglip")

    def images(self, images: list[Image.Image]) -> Any:
        """Unit vectors (n, d) of RGB pictures."""
        import torch

        # A picture is asked several intents: it is embedded once.
        unique = list({id(image): image for image in images}.values())
        place = {id(image): i for i, image in enumerate(unique)}
        pixels = torch.from_numpy(self.pixels(unique)).to(self.device, self.dtype)
        vectors = self._unit(self.model.get_image_features(pixel_values=pixels))
        return vectors[[place[id(image)] for image in images]]

    def texts(self, texts: list[str]) -> Any:
        """Unit vectors (n, d) of texts."""
        inputs = self.tokenizer(
            texts,
            padding="max_length" if self.siglip else True,
            max_length=self.text_length,
            truncation=True,
            return_tensors="pt",
        ).to(self.device)
        if self.siglip:
            # Trained on texts padded to the full length, the padding seen like any other token.
            inputs.pop("attention_mask", None)
        return self._unit(self.model.get_text_features(**inputs))

    def cosine(self, images: list[Image.Image], texts: list[str]) -> np.ndarray:
        """Cosine (n,) of each picture with its text."""
        # The same intent goes with many renders: each is embedded once.
        unique = list(dict.fromkeys(texts))
        place = {text: i for i, text in enumerate(unique)}
        cut_intents(type(self.model).__name__, self.tokenizer, unique, self.text_length)
        embedded = self.texts(unique)[[place[text] for text in texts]]
        return (self.images(images).double() * embedded.double()).sum(-1).cpu().numpy()

    @staticmethod
    def _unit(output: Any) -> Any:
        vectors = (output if hasattr(output, "norm") else output.pooler_output).float()
        return vectors / vectors.norm(dim=-1, keepdim=True)


class ClipScore(Scorer):
    """100 · max(cosine, 0) of picture and intent (Hessel et al. 2021, arXiv 2104.08718, without
    the prefix "A photo depicts"; scale as in torchmetrics)."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        super().__init__(settings, identity)
        assert found.folder is not None
        self.encoder = ImageTextModel(
            found.folder, settings.device, settings.dtype, f"scorer {settings.name}"
        )

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return 100 * np.maximum(self.encoder.cosine(images, intents), 0)


class PickScore(ClipScore):
    """exp(logit_scale) · cosine (+ logit_bias where the model has one) of picture and intent.

    Kirstain et al. 2023, arXiv 2305.01569; code of the model card yuvalkirstain/PickScore_v1.
    The published values are around 20, ±2.
    """

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        model = self.encoder.model
        with torch.inference_mode():
            scale = float(model.logit_scale.double().exp())
            bias = float(getattr(model, "logit_bias", torch.zeros(1)).double())
            return scale * self.encoder.cosine(images, intents) + bias
