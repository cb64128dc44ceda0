"""Step `preference`: a preference model in PickScore's format.

The shipped CLIPModel, fine-tuned on pairs of pictures with the intent as text, by the loss of
PickScore (Kirstain et al. 2023: softmax over scale · cosine of both pictures).  Half of the pairs
differ in looks, the others in content; drawings of both styles, their round trips through the
autoencoder and renders, where there is what makes them.  `python -m models.embedded preference`,
about 5 minutes of one core.
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
from models.embedded.renders import MODELS, PAIRS, SEED, pair_of, rendered_pairs
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
STEPS = 420
BATCH = 24  # pairs
HELD_OUT_SEED = 9001

Shown = tuple[np.ndarray, np.ndarray, list[str]]  # better, worse (uint8 (B, 64, 64, 3)), intents


def scores(model: Any, tokenizer: Any, pictures: np.ndarray, intents: list[str]) -> torch.Tensor:
    """scale · cosine (+ bias) of each picture (uint8 (B, 64, 64, 3)) with its intent, (B,)."""
    unit = functional.normalize
    images = unit(embed_images(model, normalise(pictures).to(device()))[0])
    texts = unit(embed_texts(model, tokenizer, intents))
    values = model.logit_scale.exp() * (images * texts).sum(1)
    return values + getattr(model, "logit_bias", 0.0)


def gaps(model: Any, tokenizer: Any, shown: Shown) -> torch.Tensor:
    """Score of the preferred picture minus that of the other, (B,)."""
    better, worse, intents = shown
    both = scores(model, tokenizer, np.concatenate([better, worse]), intents * 2)
    first, second = both.chunk(2)
    return first - second


def pair_loss(model: Any, tokenizer: Any, shown: Shown) -> torch.Tensor:
    """Cross-entropy of picking the preferred picture."""
    return functional.softplus(-gaps(model, tokenizer, shown)).mean()


def shown_pairs(pairs: list[Pair], *, trips: bool = False) -> Shown:
    """The pairs drawn, or seen through the autoencoder."""
    return *draw_pairs(pairs, trips=trips), [pair.intent for pair in pairs]


def some_renders(generator: random.Random, count: int) -> Shown | None:
    """Random rendered pairs; None where no text-to-image model has been trained."""
    found = [rendered_pairs(style, PAIRS, SEED) for style in MODELS]
    there = [pictures for pictures in found if pictures is not None]
    if not there:
        return None
    pictures, deviation = generator.choice(there), deviation_of_taste()
    chosen = generator.sample(range(len(pictures)), count)
    intents = [pair_of(SEED, index, deviation).intent for index in chosen]
    return pictures[chosen, 0], pictures[chosen, 1], intents


def held_out_pairs(count: int) -> list[Pair]:
    """Pairs that no training draws, the same for every model."""
    generator, deviation = random.Random(HELD_OUT_SEED), deviation_of_taste()
    return [sample_pair(generator, deviation) for _ in range(count)]


def accuracy(model: Any, tokenizer: Any, pairs: list[Pair]) -> float:
    """Share of drawn pairs whose preferred picture scores higher."""
    right = 0
    for start in range(0, len(pairs), 50):
        with torch.no_grad():
            gap = gaps(model, tokenizer, shown_pairs(pairs[start : start + 50]))
        right += int((gap > 0).sum())
    return right / len(pairs)


def train_pairs(
    name: str, model: Any, tokenizer: Any, *, steps: int, seed: int, scale: float = 0.3
) -> Any:
    """Fine-tune `model` in place on pairs, resumable; `scale` multiplies the learning rates.

    The three views of a pair (drawn, through the autoencoder, rendered) take turns.
    """
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
        shown = some_renders(generator, BATCH) if step % 3 == 2 else None
        if shown is None:
            pairs = [sample_pair(generator, deviation) for _ in range(BATCH)]
            shown = shown_pairs(pairs, trips=step % 3 == 1)
        loss = pair_loss(model, tokenizer, shown)
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


def train(steps: int = STEPS, *, warm: bool = False) -> Path:
    """Fine-tune the shipped CLIP, or go on; returns the folder of the finished weights.

    With `warm`, a run without a checkpoint starts from the shipped preference model instead.
    """
    model, tokenizer = load_encoder(FOLDER if warm else CLIP)
    if not warm:
        with torch.no_grad():
            model.logit_scale.fill_(3.0)  # e³ ≈ 20: PickScore's values are around 20, too
    train_pairs("preference", model, tokenizer, steps=steps, seed=6)
    return export_encoder(model, tokenizer, FOLDER)
