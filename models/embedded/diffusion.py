"""Step `sd`: text-to-image diffusion models of the world, in diffusers' folder formats.

A UNet on 8x8 latents and its text encoders, trained jointly: v-prediction, zero terminal SNR
(Lin et al. 2024), loss weight min(1, 5 / (SNR + 1)) (the v form of Hang et al. 2023's min-SNR-5),
stratified timesteps, 10% caption dropout, object cells weighted up, warm-up and linear decay, EMA.
`python -m models.embedded sd`; times are in `docs/embedded.md`.  Leaves out the
transfer model (`models.embedded.transfer`) and image editing (`models.embedded.editing`).
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from models.embedded import autoencoder
from models.embedded.autoencoder import LATENT_CHANNELS
from models.embedded.dataset import batches, masks, scene_of
from models.embedded.text import WIDTH, build_tokenizer, teach, text_config, tokens
from models.embedded.training import (
    WEIGHTS,
    Average,
    Log,
    average_gradients,
    device,
    home,
    join_ranks,
    learning_rate,
    load_checkpoint,
    mixed_precision,
    save_checkpoint,
    warm_start,
    write_checksums,
)
from models.world.captions import caption


@dataclass(frozen=True)
class Recipe:
    """One text-to-image training; the defaults are those of `tis-sd`."""

    name: str = "tis-sd"  # folder of the weights
    xl: bool = False  # StableDiffusionXLPipeline format, with two text encoders
    style: str = "classic"  # drawing style
    seed: int = 2  # of data, weights, captions and noise
    pictures: int = 20_000  # each is worded and noised anew every time
    steps: int = 8_000
    batch: int = 32
    peak: float = 8e-4  # learning rate
    channels: tuple[int, int] = (128, 192)  # of the UNet at 8x8 and 4x4
    text_steps: int = 350  # of teaching the text encoder its words before the UNet sees them
    caption_dropout: float = 0.1  # share trained without caption, for guidance
    object_weight: float = 8.0  # extra loss weight of a cell that is all object
    finished_every: int = 2  # one in so many of the finished pictures is used
    flawed_every: int = 3  # and of the flawed ones
    decay: float = 0.45  # share of the steps over which the learning rate falls to 0
    export_every: int = 300  # steps between usable intermediate folders


SD = Recipe()
UNET_FILE = Path("unet") / "diffusion_pytorch_model.safetensors"  # in a pipeline folder


def build_scheduler() -> Any:
    """DDIM with v-prediction, zero terminal SNR and trailing timesteps."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def build_unet(
    channels: tuple[int, int], *, xl: bool = False, in_channels: int = LATENT_CHANNELS
) -> Any:
    """An untrained UNet: residual blocks at 8x8, cross-attention at 4x4."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor

    extra: dict[str, Any] = {}
    if xl:
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": WIDTH // 2 + 6 * 8,
        }
    unet: Any = UNet2DConditionModel(
        sample_size=8,
        in_channels=in_channels,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        **extra,
    )
    unet.set_attn_processor(AttnProcessor())  # faster than the fused kernel at these sizes
    return unet


class Networks(torch.nn.Module):
    """What is trained: the UNet and one text encoder (SD) or two (SDXL)."""

    def __init__(self, recipe: Recipe, in_channels: int = LATENT_CHANNELS) -> None:
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        super().__init__()
        self.tokenizer = build_tokenizer()
        self.xl = recipe.xl
        self.unet = build_unet(recipe.channels, xl=recipe.xl, in_channels=in_channels)
        if recipe.xl:
            # SDXL reads the last but one layer of both encoders and concatenates them.
            config = text_config(self.tokenizer, width=WIDTH // 2, layers=3)
            self.text_encoder: Any = CLIPTextModel(config)
            self.text_encoder_2: Any = CLIPTextModelWithProjection(config)
        else:
            self.text_encoder = CLIPTextModel(text_config(self.tokenizer))

    def encode(self, ids: torch.Tensor) -> torch.Tensor:
        """The states that cross-attention reads, (B, T, WIDTH)."""
        if not self.xl:
            return self.text_encoder(ids).last_hidden_state
        first = self.text_encoder(ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(ids, output_hidden_states=True).hidden_states[-2]
        return torch.cat([first, second], dim=-1)

    def text_parameters(self) -> list[torch.nn.Parameter]:
        """The parameters of the text encoders."""
        return [p for name, p in self.named_parameters() if name.startswith("text_encoder")]

    def forward(self, noisy: torch.Tensor, steps: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Predicted v, (B, 24, 8, 8), of noisy latents at `steps` under token ids (B, T)."""
        if not self.xl:
            return self.unet(noisy, steps, self.encode(ids)).sample
        first = self.text_encoder(ids, output_hidden_states=True).hidden_states[-2]
        second = self.text_encoder_2(ids, output_hidden_states=True)
        states = torch.cat([first, second.hidden_states[-2]], dim=-1)
        size = torch.tensor([64.0, 64.0, 0.0, 0.0, 64.0, 64.0], device=noisy.device)
        added = {"text_embeds": second.text_embeds, "time_ids": size.expand(len(noisy), 6)}
        return self.unet(noisy, steps, states, added_cond_kwargs=added).sample


def stratified(count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` timesteps in [0, 1000), one in each of `count` strata, late ones more often.

    The density rises linearly with the timestep: what a picture shows is decided at high noise, and
    that is what a short training has to learn (our choice).
    """
    spot = torch.arange(count) + torch.rand(count, generator=generator)
    return ((spot / count).sqrt() * 1000).long().clamp_(0, 999)


class Batch(NamedTuple):
    """What one optimiser step sees, on the training's device."""

    clean: torch.Tensor  # (B, 24, 8, 8) scaled latents
    ids: torch.Tensor  # (B, T) token ids
    cells: torch.Tensor  # (B, 1, 8, 8) loss weights
    condition: torch.Tensor | None = None  # (B, 24, 8, 8) latents shown beside the noisy ones


def weighted_loss(
    networks: Networks, scheduler: Any, batch: Batch, generator: torch.Generator
) -> torch.Tensor:
    """Mean v-prediction loss of a batch."""
    clean = batch.clean
    steps = stratified(len(clean), generator).to(clean.device)
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    noisy = scheduler.add_noise(clean, noise, steps)
    target = scheduler.get_velocity(clean, noise, steps)
    alpha = scheduler.alphas_cumprod.to(clean.device)[steps]
    snr = alpha / (1 - alpha)
    weight = (5 / (snr + 1)).clamp(max=1)[:, None, None, None]
    given = noisy if batch.condition is None else torch.cat([noisy, batch.condition], dim=1)
    error = functional.mse_loss(networks(given, steps, batch.ids), target, reduction="none")
    return (error * weight * batch.cells).mean() / batch.cells.mean()


def _batches(recipe: Recipe, tokenizer: Any, start: int, rank: int, ranks: int) -> Iterator[Batch]:
    """This rank's share of the batches from number `start` on."""
    clean = autoencoder.latents(recipe.pictures, recipe.seed, recipe.style)
    cells = 1 + recipe.object_weight * masks(recipe.pictures, recipe.seed, recipe.style)
    scenes = [scene_of(recipe.seed, index)[0] for index in range(recipe.pictures)]
    # Finishes and flaws are easy, shapes are not: a part of those pictures is enough.
    used = np.array(
        [
            i for i, scene in enumerate(scenes)
            if (not scene.flaws or i % recipe.flawed_every == 0)
            and (not scene.finishes or i % recipe.finished_every == 0)
        ]
    )  # fmt: skip
    for step, order in enumerate(batches(len(used), recipe.batch, recipe.seed, start), start):
        chosen = used[order]
        chosen = chosen[rank::ranks]
        generator = random.Random((recipe.seed * 7_919 + step) * ranks + rank)
        captions = _captions([scenes[i] for i in chosen], generator, recipe.caption_dropout)
        yield Batch(
            torch.from_numpy(clean[chosen]).float().to(device()),
            tokens(tokenizer, captions).to(device()),
            torch.from_numpy(cells[chosen])[:, None].to(device()),
        )


def _captions(scenes: list[Any], generator: random.Random, dropout: float) -> list[str]:
    return ["" if generator.random() < dropout else caption(s, generator) for s in scenes]


def from_shipped(networks: Networks, folder: Path) -> bool:
    """Start from the shipped weights of `folder`; False if it has none."""
    found = warm_start(networks.unet, folder / UNET_FILE)
    for name in ("text_encoder", "text_encoder_2"):
        if found and hasattr(networks, name):
            warm_start(getattr(networks, name), folder / name / "model.safetensors")
    return found


def train(steps: int | None = None, *, recipe: Recipe = SD, warm: bool = False) -> Path:
    """Train or go on training; returns the pipeline folder.

    With `warm`, a run without a checkpoint starts from the shipped weights.
    """
    torch.manual_seed(recipe.seed)
    rank, ranks = join_ranks()
    networks = Networks(recipe).to(device())

    def begin() -> dict[str, float]:
        if warm and from_shipped(networks, WEIGHTS / recipe.name):
            return {}
        known = teach(
            networks.encode, networks.text_parameters(), networks.tokenizer,
            steps=recipe.text_steps, seed=recipe.seed * ranks + rank, batch=64 // ranks,
        )  # fmt: skip
        return {"facts_right": known}

    def samples(step: int) -> Iterator[Batch]:
        return _batches(recipe, networks.tokenizer, step, rank, ranks)

    return fit(networks, recipe, steps or recipe.steps, begin=begin, samples=samples)


def fit(
    networks: Networks,
    recipe: Recipe,
    steps: int,
    *,
    begin: Callable[[], dict[str, float]],
    samples: Callable[[int], Iterator[Batch]],
    pipeline_class: str | None = None,
) -> Path:
    """The training loop of all three kinds of model; returns the pipeline folder.

    A run without a checkpoint calls `begin`, which sets the first weights and returns what to log
    of them; `samples(step)` yields this rank's batches from that step on.  The folder is written
    anew every `export_every` steps from the moving average, so that there is something to render
    with while training goes on.
    """
    rank, ranks = join_ranks()
    log = Log(recipe.name)
    networks.unet.to(memory_format=torch.channels_last)  # a tenth faster on a CPU
    scheduler, precision = build_scheduler(), mixed_precision()
    optimiser = torch.optim.AdamW(
        networks.parameters(), lr=recipe.peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    average = Average(networks.parameters(), 0.997)
    path = home() / "checkpoints" / f"{recipe.name}.pt"
    step = resume(path, networks, optimiser, average)
    if not path.exists():
        log(step=0, **begin())
        average = Average(networks.parameters(), average.decay)
        if rank == 0:
            _checkpoint(path, 0, networks, optimiser, average)
    losses: list[float] = []
    for batch in samples(step):
        if step >= steps:
            break
        generator = torch.Generator().manual_seed((recipe.seed * 100_003 + step) * ranks + rank)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, recipe.peak, warmup=100, decay=recipe.decay)
        with precision:
            loss = weighted_loss(networks, scheduler, batch, generator)
        optimise(loss, networks, optimiser)
        average.update(step)
        losses.append(float(loss.detach()))
        step += 1
        if rank == 0 and step % 50 == 0:
            log(step=step, loss=float(np.mean(losses)), samples=step * recipe.batch)
            losses.clear()
        if rank == 0 and (step % 100 == 0 or step == steps):
            _checkpoint(path, step, networks, optimiser, average)
        if rank == 0 and step % recipe.export_every == 0:
            average.swap()
            export(networks, recipe, pipeline_class)
            average.swap()
    average.swap()
    if rank == 0:
        export(networks, recipe, pipeline_class)
    return WEIGHTS / recipe.name


def _checkpoint(
    path: Path,
    step: int,
    networks: Networks,
    optimiser: torch.optim.Optimizer,
    average: Average,
) -> None:
    state = {"step": step, "model": networks.state_dict(), "optimiser": optimiser.state_dict()}
    save_checkpoint(path, {**state, "average": average.shadow})


def optimise(
    loss: torch.Tensor, networks: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> None:
    """One clipped optimiser step on the gradients' mean over ranks."""
    optimiser.zero_grad()
    loss.backward()
    average_gradients(networks.parameters())
    torch.nn.utils.clip_grad_norm_(networks.parameters(), 1.0)
    optimiser.step()


def resume(
    path: Path, networks: torch.nn.Module, optimiser: torch.optim.Optimizer, average: Average
) -> int:
    """Load the checkpoint if there is one; returns the steps done."""
    state = load_checkpoint(path)
    if state is None:
        return 0
    networks.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    for group in optimiser.param_groups:
        group["fused"] = True
    average.restore(state["average"])
    return state["step"]


def export(networks: Networks, recipe: Recipe, pipeline_class: str | None = None) -> Path:
    """Write the fp16 pipeline folder to `models/embedded/weights/<name>`."""
    import diffusers

    def half(module: torch.nn.Module) -> Any:
        return copy.deepcopy(module).cpu().half().eval()

    vae = half(autoencoder.load())
    vae.register_to_config(_name_or_path="vae")  # else the folder it was read from, on this machine
    parts: dict[str, Any] = {
        "vae": vae,
        "text_encoder": half(networks.text_encoder),
        "tokenizer": networks.tokenizer,
        "unet": half(networks.unet),
        "scheduler": build_scheduler(),
    }
    if recipe.xl:
        parts["text_encoder_2"] = half(networks.text_encoder_2)
        parts["tokenizer_2"] = networks.tokenizer
        parts["force_zeros_for_empty_prompt"] = False
        parts["add_watermarker"] = False
    else:
        parts |= {"safety_checker": None, "feature_extractor": None}
        parts["requires_safety_checker"] = False
    default = "StableDiffusionXLPipeline" if recipe.xl else "StableDiffusionPipeline"
    pipeline = getattr(diffusers, pipeline_class or default)(**parts)
    folder = WEIGHTS / recipe.name
    pipeline.save_pretrained(folder, safe_serialization=True)
    write_checksums(folder)
    return folder
