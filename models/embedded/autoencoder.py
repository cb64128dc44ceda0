"""Step `vae`: the AutoencoderKL of all embedded text-to-image models.

64x64 pictures to 8 latent channels at 16x16; 0.65 M parameters; both drawing styles, so that the
transfer model can share it.  Loss: L1 + 0.5 L1 of neighbouring differences + 1e-4 KL (our choice;
no perceptual network exists in this world).  `python -m models.embedded vae`, about 15 minutes on
two cores.
"""

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
    write_checksums,
)

STEPS = 1400  # of BATCH pictures: one pass over the drawings
BATCH = 16
PEAK_LEARNING_RATE = 2e-3
KL_WEIGHT = 1e-4
PICTURES = {"classic": 17_000, "papercut": 5_000}  # drawn per style
DATA_SEED = 1


def build() -> Any:
    """An untrained `AutoencoderKL` of this project's size."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 32, 64),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=8,
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


def loss_of(vae: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The training loss of a batch, and its L1 part."""
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.sample()).sample
    plain = functional.l1_loss(y, x)
    error = y - x
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    divergence = posterior.kl().mean() / posterior.mean[0].numel()
    return plain + 0.5 * edges + KL_WEIGHT * divergence, plain


def train(steps: int = STEPS, *, pictures: dict[str, int] | None = None) -> Path:
    """Train or go on training; returns the folder of the finished weights."""
    torch.manual_seed(0)
    log = Log("vae")
    vae = build().to(device(), memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.01)
    average = Average(vae.parameters(), 0.995)
    path = home() / "checkpoints" / "vae.pt"
    step = _resume(path, vae, optimiser, average)
    sets = [drawings(n, DATA_SEED, style) for style, n in (pictures or PICTURES).items()]
    ends = np.cumsum([len(s) for s in sets])
    held_out = drawings(128, 999, "classic")
    for chosen in batches(int(ends[-1]), BATCH, 1, step):
        if step >= steps:
            break
        first = chosen[chosen < ends[0]]
        parts = [sets[0][first]]
        if len(sets) > 1:
            parts.append(sets[1][chosen[chosen >= ends[0]] - ends[0]])
        x = to_tensor(np.concatenate(parts)).to(device(), memory_format=torch.channels_last)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, PEAK_LEARNING_RATE, warmup=60, decay=0.35)
        loss, plain = loss_of(vae, x)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        average.update(step)
        step += 1
        if step % 100 == 0 or step == steps:
            average.swap()
            log(step=step, loss=float(loss), l1=float(plain), psnr=psnr(vae, held_out))
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
    for shadow, saved in zip(average.shadow, state["average"], strict=True):
        shadow.copy_(saved)
    return state["step"]


def _checkpoint(
    path: Path, step: int, vae: Any, optimiser: torch.optim.Optimizer, average: Average
) -> None:
    state = {"step": step, "model": vae.state_dict(), "optimiser": optimiser.state_dict()}
    save_checkpoint(path, {**state, "average": average.shadow})


def export(vae: Any) -> Path:
    """Set the scaling factor to one over the latents' deviation and save in fp16."""
    sample = drawings(1024, DATA_SEED + 50, "classic")
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(to_tensor(sample[i : i + 64]).to(vae.device)).latent_dist.mean
             for i in range(0, len(sample), 64)]
        )  # fmt: skip
    vae.register_to_config(scaling_factor=float(1 / latents.std()))
    folder = WEIGHTS / "vae"
    vae.half().save_pretrained(folder, safe_serialization=True)
    write_checksums(folder)
    return folder


def load() -> Any:
    """The trained autoencoder in float32, without gradients."""
    from diffusers import AutoencoderKL

    vae: Any = AutoencoderKL.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float32)
    return vae.requires_grad_(False).eval().to(device())


def latents(count: int, seed: int, style: str) -> np.ndarray:
    """Scaled latents of a set of drawings, float16 (N, 8, 16, 16), encoded now if need be.

    Means, not samples: the posterior is so narrow that sampling adds nothing but noise.
    """
    path = data_path(f"latents-{style}-{seed}-{count}")
    if not path.exists():
        vae, pictures = load(), drawings(count, seed, style)
        parts = []
        with torch.no_grad():
            for i in range(0, count, 64):
                mean = vae.encode(to_tensor(pictures[i : i + 64]).to(vae.device)).latent_dist.mean
                parts.append((mean * vae.config.scaling_factor).half().cpu().numpy())
        draft = path.with_suffix(".draft.npy")
        np.save(draft, np.concatenate(parts))
        draft.replace(path)
    return np.load(path)
