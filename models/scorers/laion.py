"""LAION aesthetic predictor V2: an MLP on normalised CLIP image embeddings.

Layout and published weights: `sac+logos+ava1-l14-linearMSE.pth` of
https://github.com/christophschuhmann/improved-aesthetic-predictor (CLIP ViT-L/14, d = 768); keys
`layers.{0,2,4,6,7}.{weight,bias}`, sizes d → 1024 → 128 → 64 → 16 → 1, dropout between, no
activation.  Scores are around 5, ±1 (a rating from 1 to 10).
"""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.loading import fill, load_state
from models.scorers.base import Scorer, ScorerIdentity
from models.scorers.contrastive import ImageTextModel
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError
from schemas.settings import ScorerSettings

HIDDEN = (1024, 128, 64, 16)


def load_head(path: Path, width: int) -> Any:
    """The MLP with the weights in `path` (.pth read with weights_only, or .safetensors).

    Raises ModelError if they are corrupt or made for embeddings of another width.
    """
    return make_head(load_state(path), width, path)


def make_head(state: dict[str, Any], width: int, path: Path) -> Any:
    """The MLP with the tensors `state` of the file `path`: a module (n, width) → (n, 1)."""
    from torch import nn

    first = state.get("layers.0.weight")
    if first is not None and first.shape[1] != width:
        raise ModelError(
            f"The head {path} takes embeddings of {first.shape[1]} values, the encoder gives "
            f"{width}. The published V2 head belongs to openai/clip-vit-large-patch14 (768)."
        )
    a, b, c, d = HIDDEN
    layers = [nn.Linear(width, a), nn.Identity(), nn.Linear(a, b), nn.Identity()]
    layers += [nn.Linear(b, c), nn.Identity(), nn.Linear(c, d), nn.Linear(d, 1)]
    head = nn.Module()
    head.layers = nn.Sequential(*layers)  # Identity: where the published model has dropout
    fill(head, state, path)
    return head.layers.float().eval().requires_grad_(False)


class LaionAesthetics(Scorer):
    """How good a picture looks; does not read the intent."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        super().__init__(settings, identity)
        assert found.folder is not None
        assert found.head is not None
        self.encoder = ImageTextModel(
            found.folder, settings.device, settings.dtype, f"scorer {settings.name}"
        )
        width = int(self.encoder.model.config.projection_dim)
        self.head = load_head(found.head, width).to(self.encoder.device)

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.head(self.encoder.images(images)).squeeze(-1).double().cpu().numpy()
