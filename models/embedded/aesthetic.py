"""Step `aesthetic`: an aesthetic predictor with the layout of the LAION V2 head.

Layers 0, 2, 4, 6 and 7 are linear (1024, 128, 64, 16, 1), nothing but dropout stands between them
in the published one, so it reads the normalised CLIP image embedding linearly; ours does, too.
Trained on ratings of the world's taste (5 for a plain picture), without dropout, on drawings, their
round trips and renders, where there is what makes them.  `python -m models.embedded aesthetic`,
about 2 minutes.
"""

import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from models.embedded.clip import FOLDER as CLIP
from models.embedded.clip import WIDTH
from models.embedded.contrast import embed_images, load_encoder
from models.embedded.pictures import normalise
from models.embedded.ratings import PLAIN, sample_rated, through_autoencoder
from models.embedded.renders import MODELS, PAIRS, SEED, pairs_of, rendered_pairs
from models.embedded.training import WEIGHTS, Log, device, write_checksums
from models.world.draw import SIZE, STYLES, draw_scene
from models.world.taste import taste

FOLDER = WEIGHTS / "aesthetic"
HEAD = FOLDER / "head.safetensors"
SIZES = (1024, 128, 64, 16)
PICTURES = 6000
STEPS = 1500
BATCH = 256


def build(width: int) -> nn.Sequential:
    """The head for embeddings of `width` values; keys become `layers.0.weight`, …"""
    a, b, c, d = SIZES
    linear = {"0": (width, a), "2": (a, b), "4": (b, c), "6": (c, d), "7": (d, 1)}
    return nn.Sequential(OrderedDict((key, nn.Linear(*sizes)) for key, sizes in linear.items()))


def rated_embeddings(
    model: torch.nn.Module, count: int, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors (N, D) of pictures and their ratings (N,); half are round trips."""
    generator, vectors, ratings = random.Random(seed), [], []
    for start in range(0, count, 64):
        shown = []
        for _ in range(min(64, count - start)):
            scene, layout = sample_rated(generator)
            shown.append(draw_scene(scene, layout, STYLES[generator.random() > 0.7]))
            ratings.append(PLAIN + taste(scene, layout))
        pictures = np.stack(shown)
        if start % 128:
            pictures = through_autoencoder(pictures)
        with torch.no_grad():
            vectors.append(embed_images(model, normalise(pictures).to(device()))[0].cpu())
    return functional.normalize(torch.cat(vectors)), torch.tensor(ratings)


def rendered_embeddings(model: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """The same of the renders there are, (0, D) and (0,) if there are none."""
    pictures, ratings = [np.empty((0, SIZE, SIZE, 3), np.uint8)], []
    for style in MODELS:
        found = rendered_pairs(style, PAIRS, SEED)
        if found is not None:
            pictures.append(found.reshape(-1, SIZE, SIZE, 3))
            pairs = pairs_of(SEED, PAIRS)
            ratings += [PLAIN + taste(s, p.seed) for p in pairs for s in (p.better, p.worse)]
    shown = np.concatenate(pictures)
    with torch.no_grad():
        vectors = [
            embed_images(model, normalise(shown[i : i + 64]).to(device()))[0].cpu()
            for i in range(0, len(shown), 64)
        ]
    return functional.normalize(torch.cat([torch.empty(0, WIDTH), *vectors])), torch.tensor(ratings)


def train(steps: int = STEPS, *, warm: bool = False) -> Path:
    """Train on the shipped CLIP's embeddings; returns the folder of the head.

    With `warm`, the head starts from the shipped one.
    """
    torch.manual_seed(4)
    log, (model, _) = Log("aesthetic"), load_encoder(CLIP)
    vectors, ratings = rated_embeddings(model, PICTURES, seed=400)
    rendered_vectors, rendered_ratings = rendered_embeddings(model)
    vectors = torch.cat([vectors, rendered_vectors])
    ratings = torch.cat([ratings, rendered_ratings])
    held_vectors, held_ratings = rated_embeddings(model, 1000, seed=499)
    head = build(vectors.shape[1])
    with torch.no_grad():
        head[-1].bias.fill_(float(ratings.mean()))  # pyright: ignore[reportCallIssue]
    if warm:
        shipped = load_file(HEAD)
        head.load_state_dict({name[len("layers.") :]: v.float() for name, v in shipped.items()})
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-3, total_steps=steps)
    for step in range(1, steps + 1):
        chosen = torch.randint(len(vectors), (BATCH,))
        loss = functional.mse_loss(head(vectors[chosen]).squeeze(1), ratings[chosen])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 300 == 0 or step == steps:
            with torch.no_grad():
                guess = head(held_vectors).squeeze(1)
            correlation = float(np.corrcoef(guess, held_ratings)[0, 1])
            log(step=step, loss=loss.item(), correlation=correlation)
    return export(head)


def export(head: nn.Sequential) -> Path:
    """Save the head in fp16 under the published names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = {f"layers.{name}": value.half() for name, value in head.state_dict().items()}
    save_file(state, HEAD)
    write_checksums(FOLDER)
    return FOLDER
