"""Step `ip2p`: an InstructPix2Pix model of the world (Brooks et al. 2023), for comparison only.

Started from the shipped `tis-sd` with a widened first convolution, trained on drawings before and
after an edit (one layout seed) with the edit's instruction; text, picture or both are dropped 5% of
the time each (section 3.2.1).  Cells of objects, before or after, weigh more, as in `tis-sd`.
`python -m models.embedded ip2p`; needs the step `sd`, or its shipped weights.
"""

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from models.embedded import autoencoder
from models.embedded.autoencoder import LATENT_CHANNELS
from models.embedded.dataset import batches, mask_of
from models.embedded.diffusion import (
    SD,
    UNET_FILE,
    Batch,
    Networks,
    Recipe,
    fit,
    from_shipped,
)
from models.embedded.text import tokens
from models.embedded.training import WEIGHTS, device, join_ranks, warm_start
from models.world.draw import draw_scene
from models.world.edits import EditExample, sample_edit
from schemas.errors import ModelError

IP2P = replace(SD, name="tis-ip2p", seed=4, pictures=40_000, steps=7_000, peak=5e-4)
DROPOUT = 0.05  # of the picture, of the text, and of both


def edits_of(seed: int, count: int) -> list[tuple[EditExample, int]]:
    """The first `count` edits of a set, each with the layout seed of its two pictures.

    Follow-ups are left out: an editing model sees one instruction.  The finish words of a
    beautified target are drawn too: the instruction cannot name them, so such edits teach the model
    a mean of them; they are a small share.
    """
    generator = random.Random(seed)
    found = []
    while len(found) < count:
        example = sample_edit(generator)
        if example.earlier is None:
            found.append((example, generator.getrandbits(31)))
    return found


def widen(networks: Networks, shipped: Path) -> None:
    """Start from a text-to-image folder; the first convolution's new input channels start at 0.

    Raises `ModelError` if the folder has no weights.
    """
    if not (shipped / UNET_FILE).exists():
        raise ModelError(f"no weights in {shipped}: run `python -m models.embedded sd` first")
    unet = load_file(shipped / UNET_FILE)
    wide = torch.zeros_like(networks.unet.conv_in.weight)
    wide[:, :LATENT_CHANNELS] = unet["conv_in.weight"]
    networks.unet.load_state_dict({**unet, "conv_in.weight": wide})
    warm_start(networks.text_encoder, shipped / "text_encoder" / "model.safetensors")


def _batches(recipe: Recipe, tokenizer: Any, start: int, rank: int, ranks: int) -> Iterator[Batch]:
    """This rank's share of the batches from number `start` on."""
    edits = edits_of(recipe.seed, recipe.pictures)
    vae: Any = autoencoder.load()
    before = np.stack([draw_scene(edit.before, layout) for edit, layout in edits])
    after = np.stack([draw_scene(edit.after, layout) for edit, layout in edits])
    given = torch.from_numpy(autoencoder.encode(vae, before))  # unscaled, as the pipeline has it
    clean = torch.from_numpy(autoencoder.encode(vae, after)) * vae.config.scaling_factor
    objects = np.stack(
        [np.maximum(mask_of(edit.before, at), mask_of(edit.after, at)) for edit, at in edits]
    )
    cells = torch.from_numpy(1 + recipe.object_weight * objects)[:, None]
    for step, order in enumerate(batches(len(edits), recipe.batch, recipe.seed, start), start):
        chosen = order[rank::ranks]
        generator = torch.Generator().manual_seed((recipe.seed * 7_919 + step) * ranks + rank)
        chance = torch.rand(len(chosen), generator=generator)
        texts = [
            "" if float(p) < 2 * DROPOUT else edits[i][0].instruction
            for i, p in zip(chosen, chance, strict=True)
        ]
        shown = ((chance >= DROPOUT) & (chance < 2 * DROPOUT)) | (chance >= 3 * DROPOUT)
        yield Batch(
            clean[chosen].float().to(device()),
            tokens(tokenizer, texts).to(device()),
            cells[chosen].float().to(device()),
            (given[chosen] * shown[:, None, None, None]).float().to(device()),
        )


def train(steps: int | None = None, *, recipe: Recipe = IP2P, warm: bool = False) -> Path:
    """Train or go on training; returns the folder of the pipeline.

    With `warm`, a run without a checkpoint starts from its own shipped weights.
    """
    torch.manual_seed(recipe.seed)
    rank, ranks = join_ranks()
    networks = Networks(recipe, in_channels=2 * LATENT_CHANNELS).to(device())

    def begin() -> dict[str, float]:
        if not (warm and from_shipped(networks, WEIGHTS / recipe.name)):
            widen(networks, WEIGHTS / SD.name)
        return {}

    def samples(step: int) -> Iterator[Batch]:
        return _batches(recipe, networks.tokenizer, step, rank, ranks)

    return fit(
        networks, recipe, steps or recipe.steps, begin=begin, samples=samples,
        pipeline_class="StableDiffusionInstructPix2PixPipeline",
    )  # fmt: skip
