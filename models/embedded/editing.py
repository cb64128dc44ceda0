"""Step `ip2p`: an InstructPix2Pix model of the world (Brooks et al. 2023), for comparison only.

Started from `tis-sd` with a widened first convolution, trained on drawings before and after an edit
(one layout seed) with the edit's instruction; text, picture or both are dropped 5% of the time
each.  `python -m models.embedded ip2p`; needs the steps `vae` and `sd`.
"""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.embedded import autoencoder
from models.embedded.autoencoder import LATENT_CHANNELS
from models.embedded.dataset import batches
from models.embedded.diffusion import (
    SD,
    Networks,
    Recipe,
    build_scheduler,
    export,
    optimise,
    resume,
    weighted_loss,
)
from models.embedded.text import tokens
from models.embedded.training import (
    WEIGHTS,
    Average,
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
)
from models.world.draw import draw_scene

IP2P = replace(SD, name="tis-ip2p", seed=4, pictures=6_000, steps=1_500, peak=5e-4)


def pairs(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Drawings before and after, uint8 (N, 64, 64, 3) each, and the instructions.

    The finish words of a beautified target are drawn too: the instruction cannot name them, so such
    edits teach the model a mean of them; they are a small share.
    """
    from models.world.edits import sample_edit

    generator = random.Random(seed)
    before, after, instructions = [], [], []
    while len(instructions) < count:
        example = sample_edit(generator)
        if example.earlier is not None:
            continue
        layout = generator.getrandbits(31)
        before.append(draw_scene(example.before, layout))
        after.append(draw_scene(example.after, layout))
        instructions.append(example.instruction)
    return np.stack(before), np.stack(after), instructions


def widen(networks: Networks, trained: dict[str, torch.Tensor]) -> None:
    """Load text-to-image weights; the new input channels of the first convolution start at 0."""
    key = "unet.conv_in.weight"
    wide = torch.zeros_like(networks.unet.conv_in.weight)
    wide[:, :LATENT_CHANNELS] = trained[key]
    networks.load_state_dict({**trained, key: wide})


def train(steps: int | None = None, *, recipe: Recipe = IP2P) -> Path:
    """Train or go on training; returns the folder of the pipeline."""
    steps = steps or recipe.steps
    torch.manual_seed(recipe.seed)
    log = Log(recipe.name)
    networks = Networks(recipe, in_channels=2 * LATENT_CHANNELS).to(device())
    first = load_checkpoint(home() / "checkpoints" / f"{SD.name}.pt")
    if first is not None:
        widen(networks, first["model"])
    optimiser = torch.optim.AdamW(networks.parameters(), lr=recipe.peak, betas=(0.9, 0.99))
    average = Average(networks.parameters(), 0.997)
    path = home() / "checkpoints" / f"{recipe.name}.pt"
    step = resume(path, networks, optimiser, average)
    before, after, instructions = pairs(recipe.pictures, recipe.seed)
    vae: Any = autoencoder.load()
    scheduler, scale = build_scheduler(), vae.config.scaling_factor
    given = torch.from_numpy(autoencoder.encode(vae, before))
    clean = torch.from_numpy(autoencoder.encode(vae, after)) * scale
    for chosen in batches(recipe.pictures, recipe.batch, recipe.seed, step):
        if step >= steps:
            break
        generator = torch.Generator().manual_seed(recipe.seed * 100_003 + step)
        chance = torch.rand(len(chosen), generator=generator)
        texts = [
            "" if float(p) < 0.1 else instructions[i] for i, p in zip(chosen, chance, strict=True)
        ]
        shown = ((chance < 0.05) | (chance > 0.1))[:, None, None, None]
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, recipe.peak, warmup=50, decay=0.3)
        loss = weighted_loss(
            networks,
            scheduler,
            clean[chosen].to(device()),
            tokens(networks.tokenizer, texts).to(device()),
            torch.ones(len(chosen), 1, 8, 8, device=device()),
            generator,
            condition=(given[chosen] * shown).to(device()),
        )
        optimise(loss, networks, optimiser)
        average.update(step)
        step += 1
        if step % 50 == 0 or step == steps:
            log(step=step, loss=float(loss))
            state = {"step": step, "model": networks.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "average": average.shadow}
            save_checkpoint(path, state)
    average.swap()
    export(networks, recipe, "StableDiffusionInstructPix2PixPipeline")
    return WEIGHTS / recipe.name
