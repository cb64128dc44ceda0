"""Step `vae`: the AutoencoderKL of all embedded text-to-image models.

64x64 pictures to 24 latent channels at 8x8.  The encoder is not trained but computed: a hierarchy
of principal components over 2x2 blocks, written into the weights of the ordinary architecture, so
latents exist after seconds and the diffusion model need not wait.  Only the decoder is trained
(both drawing styles, so that the transfer model can share it); it may be improved at any later time
without touching the latents.  Loss: L1 + 0.5 L1 of neighbouring differences (our choice; no
perceptual network exists in this world).  `python -m models.embedded vae`.
"""

import copy
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from models.embedded.dataset import batches, data_path, drawings
from models.embedded.training import (
    WEIGHTS,
    Average,
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    warm_start,
    write_checksums,
)

STEPS = 5000  # of BATCH pictures
BATCH = 8
PEAK_LEARNING_RATE = 2e-3
PICTURES = {"classic": 12_000, "papercut": 3_000}  # drawn per style
DATA_SEED = 1
CHANNELS = (8, 24, 48, 96)
LATENT_CHANNELS = 24  # 24.9 dB by linear decoding; 16 give 23.3, 32 give 26.0
_CONSTANT = 48.0  # of the channels that pin down the encoder's last normalisation


def build() -> Any:
    """An untrained `AutoencoderKL` of this project's size."""
    from diffusers import AutoencoderKL

    kind: Any = AutoencoderKL  # diffusers' annotations take tuples of one element only
    return kind(
        block_out_channels=CHANNELS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=4,
        mid_block_add_attention=False,
        sample_size=64,
    )


def to_tensor(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (B, 64, 64, 3) to float32 (B, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def psnr(vae: Any, pictures: np.ndarray) -> float:
    """Peak signal-to-noise ratio of the round trip in dB, over all pictures together."""
    with torch.no_grad():
        x = to_tensor(pictures).to(vae.device)
        y = vae(x).sample.clamp(-1, 1)
    return float(-10 * torch.log10(((x - y) / 2).square().mean()))


def fit_encoder(vae: Any, pictures: np.ndarray) -> None:
    """Write principal components into the encoder, and start the decoder as a linear network.

    Each stride-2 convolution maps a 2x2 block to its leading components; residual branches are
    zero.  The last normalisation is made harmless by constant channels, and `silu(x) - silu(-x)`
    equals `x`, so pairs of channels carry the components through the last activation.
    """
    with torch.no_grad():
        for name, module in vae.named_modules():
            if name.endswith("conv2"):
                module.weight.zero_()
                module.bias.zero_()
        encoder = vae.encoder
        _identity(encoder.conv_in, 3)
        blocks = pictures.astype(np.float64) / 127.5 - 1
        for level, width in enumerate(CHANNELS[:3]):
            blocks, basis = _components(blocks, min(width, 4 * blocks.shape[-1]))
            _write_basis(encoder.down_blocks[level].downsamplers[0].conv, basis)
            if level < 2:
                _identity(encoder.down_blocks[level + 1].resnets[0].conv_shortcut, width)
        _write_head(encoder, vae.quant_conv, blocks)


def _identity(convolution: Any, channels: int) -> None:
    """Copy the first channels; the others are silent."""
    convolution.weight.zero_()
    convolution.bias.zero_()
    centre = convolution.weight.shape[-1] // 2
    for channel in range(channels):
        convolution.weight[channel, channel, centre, centre] = 1.0


def _components(blocks: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Leading components of 2x2 blocks: (N, H, W, C) to (N, H/2, W/2, width), basis (4C, width).

    Uncentred, because a mean would need a bias that padding spoils at the border.
    """
    n, height, width_in, channels = blocks.shape
    grid = blocks.reshape(n, height // 2, 2, width_in // 2, 2, channels)
    flat = grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4 * channels)
    _, vectors = np.linalg.eigh(flat.T @ flat)
    basis = vectors[:, ::-1][:, :width]
    return (flat @ basis).reshape(n, height // 2, width_in // 2, width), basis


def _write_basis(convolution: Any, basis: np.ndarray) -> None:
    """Put a basis of 2x2 blocks into the upper left taps of a 3x3 convolution of stride 2."""
    channels = basis.shape[0] // 4
    taps = torch.from_numpy(basis.reshape(2, 2, channels, -1).copy()).permute(3, 2, 0, 1).float()
    convolution.weight.zero_()
    convolution.bias.zero_()
    convolution.weight[: taps.shape[0], :channels, :2, :2] = taps


def _write_head(encoder: Any, quant: Any, blocks: np.ndarray) -> None:
    """Select the latent channels, each over the root of its deviation (half whitened).

    Full whitening would make the diffusion model spend its loss on invisible components.
    """
    flat = blocks.reshape(-1, blocks.shape[-1])
    values, vectors = np.linalg.eigh(np.cov(flat.T))
    basis = vectors[:, ::-1][:, :LATENT_CHANNELS]
    deviations = np.sqrt(values[::-1][:LATENT_CHANNELS])
    rows = torch.from_numpy((basis / np.sqrt(deviations)).T.copy()).float()
    shortcut = encoder.down_blocks[3].resnets[0].conv_shortcut
    for module in (shortcut, encoder.conv_out, quant):
        module.weight.zero_()
        module.bias.zero_()
    per_group, pairs = CHANNELS[3] // 4, LATENT_CHANNELS // 4
    for channel in range(LATENT_CHANNELS):
        group, rank = divmod(channel, pairs)
        plus = group * per_group + 2 * rank
        shortcut.weight[plus, :, 0, 0] = rows[channel]
        shortcut.weight[plus + 1, :, 0, 0] = -rows[channel]
        encoder.conv_out.weight[channel, plus, 1, 1] = 1.0
        encoder.conv_out.weight[channel, plus + 1, 1, 1] = -1.0
    for group in range(4):
        first = group * per_group + 2 * pairs
        half = (per_group - 2 * pairs) // 2
        shortcut.bias[first : first + half] = _CONSTANT
        shortcut.bias[first + half : first + 2 * half] = -_CONSTANT
    encoder.conv_norm_out.weight.fill_(_CONSTANT * math.sqrt(1 - 2 * pairs / per_group))
    encoder.conv_norm_out.bias.zero_()
    encoder.conv_out.bias[LATENT_CHANNELS:] = -9.0  # log variance: next to none
    for channel in range(2 * LATENT_CHANNELS):
        quant.weight[channel, channel, 0, 0] = 1.0
    quant.bias[:LATENT_CHANNELS] = -rows @ torch.from_numpy(flat.mean(axis=0)).float()


def loss_of(vae: Any, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The training loss of a batch and its L1 part; `z` are its latents before scaling."""
    y = vae.decode(z).sample
    plain = functional.l1_loss(y, x)
    error = y - x
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return plain + 0.5 * edges, plain


def train(
    steps: int = STEPS, *, pictures: dict[str, int] | None = None, warm: bool = False
) -> Path:
    """Train or go on training; returns the folder of the finished weights.

    With `warm`, a run without a checkpoint starts from the shipped weights.
    """
    torch.manual_seed(0)
    log = Log("vae")
    vae = build().to(device())
    sets = [drawings(n, DATA_SEED, style) for style, n in (pictures or PICTURES).items()]
    shipped = WEIGHTS / "vae" / "diffusion_pytorch_model.safetensors"
    if warm and warm_start(vae, shipped):
        # The latents of the shipped diffusion models must not change under them.
        vae.register_to_config(scaling_factor=load().config.scaling_factor)
    else:
        fit_encoder(vae, np.concatenate([s[:1000] for s in sets]))
        vae.register_to_config(scaling_factor=scaling_factor(vae))
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=PEAK_LEARNING_RATE, weight_decay=0.01)
    average = Average(trained, 0.995)
    path = home() / "checkpoints" / "vae.pt"
    step = _resume(path, vae, optimiser, average)
    if step == 0:
        export(vae)
    ends = np.cumsum([len(s) for s in sets])
    held_out = drawings(128, 999, "classic")
    for chosen in batches(int(ends[-1]), BATCH, 1, step):
        if step >= steps:
            break
        first = chosen[chosen < ends[0]]
        parts = [sets[0][first]]
        if len(sets) > 1:
            parts.append(sets[1][chosen[chosen >= ends[0]] - ends[0]])
        x = to_tensor(np.concatenate(parts)).to(device())
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, PEAK_LEARNING_RATE, warmup=60, decay=0.4)
        with torch.no_grad():
            z = vae.encode(x).latent_dist.mean
        loss, plain = loss_of(vae, x, z)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        average.update(step)
        step += 1
        if step % 100 == 0 or step == steps:
            average.swap()
            log(step=step, loss=float(loss), l1=float(plain), psnr=psnr(vae, held_out))
            if step % 500 == 0:
                export(vae)
            average.swap()
            _checkpoint(path, step, vae, optimiser, average)
    average.swap()
    return export(vae)


def _resume(path: Path, vae: Any, optimiser: torch.optim.Optimizer, average: Average) -> int:
    state = load_checkpoint(path)
    if state is None:
        return 0
    vae.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    average.restore(state["average"])
    return state["step"]


def _checkpoint(
    path: Path, step: int, vae: Any, optimiser: torch.optim.Optimizer, average: Average
) -> None:
    state = {"step": step, "model": vae.state_dict(), "optimiser": optimiser.state_dict()}
    save_checkpoint(path, {**state, "average": average.shadow})


def scaling_factor(vae: Any) -> float:
    """One over the deviation of the latents of some drawings."""
    sample = drawings(128, 999, "classic")
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(to_tensor(sample[i : i + 64]).to(vae.device)).latent_dist.mean
             for i in range(0, len(sample), 64)]
        )  # fmt: skip
    return float(1 / latents.std())


def export(vae: Any) -> Path:
    """Save in fp16; returns the folder."""
    folder = WEIGHTS / "vae"
    copy.deepcopy(vae).half().save_pretrained(folder, safe_serialization=True)
    write_checksums(folder)
    return folder


def load() -> Any:
    """The trained autoencoder in float32, without gradients."""
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval().to(device())


def latents(count: int, seed: int, style: str) -> np.ndarray:
    """Scaled latents of a set of drawings, float16 (N, 24, 8, 8), encoded now if need be.

    Means, not samples: the posterior is so narrow that sampling adds nothing but noise.
    """
    path = data_path(f"latents-{style}-{seed}-{count}")
    if not path.exists():
        vae, pictures = load(), drawings(count, seed, style)
        draft = path.with_suffix(f".{os.getpid()}.npy")
        np.save(draft, (encode(vae, pictures) * vae.config.scaling_factor).astype(np.float16))
        draft.replace(path)
    return np.load(path)


def encode(vae: Any, pictures: np.ndarray) -> np.ndarray:
    """Unscaled latents, float32 (N, 24, 8, 8), of uint8 pictures (N, 64, 64, 3)."""
    matrix, offset = encoder_matrix(vae)
    found = np.empty((len(pictures), 8, 8, LATENT_CHANNELS), dtype=np.float32)
    for i in range(0, len(pictures), 500):
        part = pictures[i : i + 500].astype(np.float32) / 127.5 - 1
        blocks = part.reshape(-1, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5)
        found[i : i + 500] = blocks.reshape(-1, 8, 8, 192) @ matrix + offset
    return found.transpose(0, 3, 1, 2)


def encoder_matrix(vae: Any) -> tuple[np.ndarray, np.ndarray]:
    """The encoder as what it is, a linear map of 8x8 blocks: matrix (192, C) and offset (C,).

    Read off by encoding pictures whose every block is the same unit vector; a thousand times faster
    than running the convolutions over a whole set.
    """
    units = np.concatenate([np.zeros((1, 192)), np.eye(192)]).reshape(-1, 8, 8, 3)
    probes = torch.from_numpy(np.tile(units, (1, 8, 8, 1))).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        found = torch.cat(
            [vae.encode(part.to(vae.device)).latent_dist.mean for part in probes.split(32)]
        )
    values = found[:, :, 3, 3].cpu().numpy()
    return values[1:] - values[0], values[0]


def round_trip(vae: Any, pictures: np.ndarray) -> np.ndarray:
    """uint8 pictures (N, 64, 64, 3) encoded and decoded."""
    parts = []
    with torch.no_grad():
        for start in range(0, len(pictures), 32):
            x = to_tensor(pictures[start : start + 32]).to(vae.device)
            y = vae(x).sample.clamp(-1, 1).permute(0, 2, 3, 1).cpu().numpy()
            parts.append(((y + 1) * 127.5 + 0.5).astype(np.uint8))
    return np.concatenate(parts)
