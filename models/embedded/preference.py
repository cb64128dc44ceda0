"""Step `preference`: a preference model in PickScore's format.

The shipped CLIPModel, fine-tuned on pairs of pictures with the intent as text, by the loss of
PickScore (Kirstain et al. 2023: softmax over scale · cosine of both pictures).  Half of the pairs
differ in looks, the others in content; both drawing styles, and round trips through the autoencoder
where there is one.  `python -m models.embedded preference`, about 5 minutes of one core.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from models.embedded.clip import FOLDER as CLIP
from models.embedded.contrast import embed_images, embed_texts, export_encoder, load_encoder
from models.embedded.muon import optimisers
from models.embedded.pictures import normalise
from models.embedded.ratings import Pair, deviation_of_taste, draw_pairs, sample_pair
from models.embedded.training import (
    WEIGHTS,
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)

FOLDER = WEIGHTS / "preference"
STEPS = 160
BATCH = 24  # pairs
HELD_OUT_SEED = 9001


def scores(model: Any, tokenizer: Any, pictures: np.ndarray, intents: list[str]) -> torch.Tensor:
    """scale · cosine (+ bias) of each picture (uint8 (B, 64, 64, 3)) with its intent, (B,)."""
    unit = functional.normalize
    images = unit(embed_images(model, normalise(pictures).to(device()))[0])
    texts = unit(embed_texts(model, tokenizer, intents))
    values = model.logit_scale.exp() * (images * texts).sum(1)
    return values + getattr(model, "logit_bias", 0.0)


def pair_loss(model: Any, tokenizer: Any, pairs: list[Pair], *, trips: bool) -> torch.Tensor:
    """Cross-entropy of picking the preferred picture."""
    better, worse = draw_pairs(pairs, trips=trips)
    intents = [pair.intent for pair in pairs]
    both = scores(model, tokenizer, np.concatenate([better, worse]), intents * 2)
    first, second = both.chunk(2)
    return functional.softplus(second - first).mean()


def held_out_pairs(count: int) -> list[Pair]:
    """Pairs that no training draws, the same for every model."""
    generator, deviation = random.Random(HELD_OUT_SEED), deviation_of_taste()
    return [sample_pair(generator, deviation) for _ in range(count)]


def accuracy(model: Any, tokenizer: Any, pairs: list[Pair], *, trips: bool = False) -> float:
    """Share of pairs whose preferred picture scores higher."""
    right = 0
    for start in range(0, len(pairs), 50):
        some = pairs[start : start + 50]
        intents = [pair.intent for pair in some]
        better, worse = draw_pairs(some, trips=trips)
        with torch.no_grad():
            gap = scores(model, tokenizer, better, intents) - scores(
                model, tokenizer, worse, intents
            )
        right += int((gap > 0).sum())
    return right / len(pairs)


def train_pairs(
    name: str, model: Any, tokenizer: Any, *, steps: int, seed: int, scale: float = 0.3
) -> Any:
    """Fine-tune `model` in place on pairs, resumable; `scale` multiplies the learning rates."""
    torch.manual_seed(seed)
    log, path = Log(name), home() / "checkpoints" / f"{name}.pt"
    rates = (0.015 * scale, 1.5e-3 * scale)
    pair, step = optimisers(model, *rates), 0
    if state := load_checkpoint(path):
        step = state["step"]
        model.load_state_dict(state["model"])
        for optimiser, saved in zip(pair, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    deviation, held_out, total = deviation_of_taste(), held_out_pairs(100), 0.0
    model.train()
    while step < steps:
        for optimiser, peak in zip(pair, rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(step, steps, peak, warmup=20, decay=0.5)
        generator = random.Random(f"{name}-{seed}-{step}")
        pairs = [sample_pair(generator, deviation) for _ in range(BATCH)]
        loss = pair_loss(model, tokenizer, pairs, trips=step >= steps // 2 and step % 2 == 1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        total += loss.item()
        if step % 50 == 0 or step == steps:
            model.eval()
            log(step=step, loss=total / 50, accuracy=accuracy(model, tokenizer, held_out))
            model.train()
            total = 0.0
            saved = {"step": step, "model": model.state_dict()}
            save_checkpoint(path, {**saved, "optimisers": [o.state_dict() for o in pair]})
    return model.eval()


def train(steps: int = STEPS) -> Path:
    """Fine-tune the shipped CLIP, or go on; returns the folder of the finished weights."""
    model, tokenizer = load_encoder(CLIP)
    with torch.no_grad():
        model.logit_scale.fill_(3.0)  # e³ ≈ 20: PickScore's values are around 20, too
    train_pairs("preference", model, tokenizer, steps=steps, seed=6)
    return export_encoder(model, tokenizer, FOLDER)
