"""Step `adherence`: does a picture show what its prompt said?  A classifier of drawn scenes.

A small convolutional network names kind, colour and count of both groups, the place and the time.
It is trained on drawings only (half of them seen through the autoencoder's linear part, with a
little noise), never on renders, so a renderer cannot learn its weaknesses; and on all combinations,
also those that no other training sees, for a judge who has never seen a green cat cannot tell
whether one was drawn.  It measures; no reward
and no filter may use it.  There is one for each drawing style.  `python -m models.embedded
adherence`, 6 minutes a style.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.embedded import autoencoder
from models.embedded.dataset import batches, scene_of
from models.embedded.text import FACT_SIZES, facts
from models.embedded.training import Log, device, home, learning_rate, save_checkpoint
from models.world.draw import STYLES, draw_scene
from models.world.scene import Scene, resolve
from schemas.errors import ModelError

FACTS = FACT_SIZES[:8]  # kind, colour, count of each group, place, time
STEPS, BATCH, PICTURES, SEED = 2_400, 64, 20_000, 9


def build() -> nn.Sequential:
    """(B, 3, 64, 64) in [-1, 1] to logits (B, sum(FACTS))."""
    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128), (128, 128)):
        layers += [nn.Conv2d(before, after, 3, 2, 1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(128 * 16, 256), nn.ReLU(), nn.Linear(256, sum(FACTS))
    )


def path(style: str) -> Path:
    """Where the trained classifier is kept; it is quick to make and does not ship."""
    return home() / "checkpoints" / f"adherence-{style}.pt"


def train(steps: int | None = None) -> Path:
    """Train one classifier for each drawing style, from nothing; returns the last one's file."""
    for style in STYLES:
        _train(style, steps or STEPS)
    return path(STYLES[-1])


def _train(style: str, steps: int) -> None:
    torch.manual_seed(7)
    log, network = Log(f"adherence-{style}"), build().to(device()).train()
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    drawn = [scene_of(SEED, index, unseen=True) for index in range(PICTURES)]
    pictures = np.stack([draw_scene(*row, style) for row in drawn])
    labels = torch.tensor([facts(resolve(*row))[:8] for row in drawn])
    vae = autoencoder.load()
    matrix, _ = autoencoder.encoder_matrix(vae)
    project = torch.from_numpy(matrix @ np.linalg.pinv(matrix))
    noise = torch.Generator().manual_seed(7)
    for step, chosen in enumerate(batches(PICTURES, BATCH, 7)):
        if step == steps:
            break
        x = autoencoder.to_tensor(pictures[chosen])
        x[::2] = _through(x[::2], project)
        x = x + 0.05 * torch.randn(x.shape, generator=noise)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, steps, 2e-3, warmup=50, decay=0.6)
        logits = network(x.to(device())).split(FACTS, dim=1)
        loss = torch.stack(
            [functional.cross_entropy(part, labels[chosen, k]) for k, part in enumerate(logits)]
        ).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 100 == 0:
            log(step=step, loss=float(loss.detach()))
    save_checkpoint(path(style), network.state_dict())


def _through(x: torch.Tensor, project: torch.Tensor) -> torch.Tensor:
    """Blocks projected onto the autoencoder's components: what it keeps at best linearly."""
    blocks = x.reshape(-1, 3, 8, 8, 8, 8).permute(0, 2, 4, 3, 5, 1)  # (B, row, column, y, x, rgb)
    found = (blocks.reshape(-1, 192) @ project).reshape(-1, 8, 8, 8, 8, 3)
    return found.permute(0, 5, 1, 3, 2, 4).reshape(x.shape)


def load(style: str = "classic") -> Any:
    """The trained classifier; raises `ModelError` if there is none."""
    file = path(style)
    if not file.exists():
        raise ModelError(f"no classifier at {file}: run `python -m models.embedded adherence`")
    network = build()
    network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
    return network.eval()


def classify(network: Any, pictures: np.ndarray) -> np.ndarray:
    """Facts seen in uint8 (N, 64, 64, 3): int (N, 8) in the classes of `text.facts`."""
    rows = []
    with torch.no_grad():
        for start in range(0, len(pictures), 128):
            x = autoencoder.to_tensor(pictures[start : start + 128])
            logits = network(x).split(FACTS, dim=1)
            rows.append(torch.stack([part.argmax(dim=1) for part in logits], dim=1))
    return torch.cat(rows).numpy()


def adherence(network: Any, scenes: list[Scene], pictures: np.ndarray) -> dict[str, float]:
    """Share of pictures right in kind, colour, count, place and time, where the scene says it.

    With two groups, kind, colour and count count as right only if right for both, left and right
    (`binding` is kind and colour together on those scenes; NaN if there are none).
    """
    seen = classify(network, pictures)
    said = np.array([facts(scene)[:8] for scene in scenes])
    two = np.array([len(scene.groups) == 2 for scene in scenes])
    right = (seen == said) | (said == 0)
    right[:, 3] = seen[:, 3] == said[:, 3]  # no second group said means none may be seen
    kind, colour = right[:, [0, 3]].all(axis=1), right[:, [1, 4]].all(axis=1)
    columns = {
        "kind": kind,
        "colour": colour,
        "count": right[:, [2, 5]].all(axis=1),
        "place": right[:, 6],
        "time": right[:, 7],
    }
    table = {name: float(column.mean()) for name, column in columns.items()}
    table["binding"] = float((kind & colour)[two].mean()) if two.any() else float("nan")
    return table
