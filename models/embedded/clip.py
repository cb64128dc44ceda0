"""Step `clip`: the image-text model of the embedded profile.

A `CLIPModel` (ViT of 4 layers, width 128, patches of 8 pixels; text encoder of 2 layers, width 128;
1.2 M parameters) trained contrastively on drawings of both styles, with the help of labels
(`models.embedded.contrast`) and, in the end, on round trips and renders.  It is CLIPScore's model,
and its image embeddings are what the aesthetic predictor looks at.
`python -m models.embedded clip`, about 25 minutes of one core.
"""

from pathlib import Path
from typing import Any

import torch

from models.embedded.contrast import (
    TEXT_LENGTH,
    export_encoder,
    load_encoder,
    softmax_contrast,
    tokenizer_of,
    train_encoder,
)
from models.embedded.training import WEIGHTS
from models.world.draw import SIZE

FOLDER = WEIGHTS / "clip"
STEPS = 2000
BATCH = 64
WIDTH = 128


def build(tokenizer: Any) -> Any:
    """An untrained `CLIPModel` of this project's size."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(3)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": TEXT_LENGTH,
        "projection_dim": WIDTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "image_size": SIZE,
        "patch_size": 8,
        "projection_dim": WIDTH,
    }
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def train(steps: int = STEPS, *, warm: bool = False) -> Path:
    """Train or go on training, with `warm` from the shipped weights; returns their folder."""
    tokenizer = tokenizer_of(FOLDER)
    model = load_encoder(FOLDER)[0] if warm else build(tokenizer)
    train_encoder(
        "clip", model, tokenizer, softmax_contrast, steps=steps, batch=BATCH, seed=3, warm=warm
    )
    return export_encoder(model, tokenizer, FOLDER)
