"""Step `heldout`: a preference model of another seed and architecture, for evaluation only.

A `SiglipModel` (patches of 16 pixels, attention pooling, sigmoid loss, width 160) trained from
scratch on captions and then on pairs of its own.  No reward and no decide rule may use it.  The
registry loads it as a `pickscore` whose checkpoint happens to be a SigLIP.
`python -m models.embedded heldout`, about 14 minutes of one core.
"""

from pathlib import Path
from typing import Any

import torch

from models.embedded.contrast import (
    export_encoder,
    load_encoder,
    sigmoid_contrast,
    tokenizer_of,
    train_encoder,
)
from models.embedded.preference import train_pairs
from models.embedded.training import WEIGHTS
from models.world.draw import SIZE

FOLDER = WEIGHTS / "heldout"
STEPS = 1200  # on captions
PAIR_STEPS = 120
BATCH = 64
TEXT_LENGTH = 48  # SigLIP pads every text to this; longer ones get no score
WIDTH = 160


def build(tokenizer: Any) -> Any:
    """An untrained `SiglipModel` of this project's size."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(21)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 128,
        "intermediate_size": 384,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": TEXT_LENGTH,
        "projection_size": WIDTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 3 * WIDTH,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "image_size": SIZE,
        "patch_size": 16,
    }
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision))
    with torch.no_grad():  # the published start: t = 10, b = -10
        model.logit_scale.fill_(2.3)
        model.logit_bias.fill_(-10.0)
    return model


def train(steps: int = STEPS, *, warm: bool = False) -> Path:
    """Train or go on training, with `warm` from the shipped weights; returns their folder."""
    tokenizer = tokenizer_of(FOLDER, seed=9, length=TEXT_LENGTH)
    model = load_encoder(FOLDER)[0] if warm else build(tokenizer)
    train_encoder(
        "heldout", model, tokenizer, sigmoid_contrast, steps=steps, batch=BATCH, seed=21, warm=warm
    )
    train_pairs("heldout-pairs", model, tokenizer, steps=PAIR_STEPS, seed=22)
    return export_encoder(model, tokenizer, FOLDER)
