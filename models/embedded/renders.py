"""Pairs of pictures rendered by the shipped text-to-image models: what the scorers meet in use.

Pair `i` of a set is two scenes under one intent (`models.embedded.ratings`), worded without filler
and rendered with the same seed; it depends on the set's seed, on `i` and on the model's weights.
A picture is labelled by what it was asked to show, so the model's mistakes are noise in the labels.
Leaves out drawings and round trips (`models.embedded.pictures`).
"""

import random
from pathlib import Path
from typing import Any

import numpy as np

from models.embedded.dataset import data_path
from models.embedded.ratings import Pair, deviation_of_taste, sample_pair
from models.embedded.training import WEIGHTS, mark
from models.world.captions import caption
from models.world.draw import SIZE
from models.world.scene import Scene

MODELS = {"classic": "tis-sd", "papercut": "tis-sdxl"}  # style: who renders it
STEPS, GUIDANCE, BATCH = 6, 3.0, 32  # of profiles/embedded.toml
PAIRS = 1_200
SEED = 61  # of the pairs that are trained on


def pair_of(seed: int, index: int, deviation: float) -> Pair:
    """Pair `index` of the set `seed`; `deviation` is that of taste."""
    return sample_pair(random.Random(seed * 1_000_003 + index), deviation)


def pairs_of(seed: int, count: int) -> list[Pair]:
    """The first `count` pairs of a set."""
    deviation = deviation_of_taste()
    return [pair_of(seed, index, deviation) for index in range(count)]


def rendered_pairs(style: str, count: int, seed: int) -> np.ndarray | None:
    """uint8 (N, 2, 64, 64, 3), better and worse of `pairs_of`; None if no model has that style.

    Rendered now if need be, which may be killed at any moment and goes on from its last batch.
    """
    folder = WEIGHTS / MODELS[style]
    if not (folder / "model_index.json").exists():
        return None
    path = data_path(f"renders-{style}-{seed}-{count}-{mark(folder)}")
    if not path.exists():
        _render_into(path, folder, pairs_of(seed, count))
    return np.load(path, mmap_mode="r")


def _render_into(path: Path, folder: Path, pairs: list[Pair]) -> None:
    draft, done = path.with_suffix(".draft.npy"), path.with_suffix(".done")
    shape = (len(pairs), 2, SIZE, SIZE, 3)
    start = int(done.read_text()) if done.exists() and draft.exists() else 0
    mode = "r+" if start else "w+"
    found = np.lib.format.open_memmap(draft, mode=mode, dtype=np.uint8, shape=shape)
    pipeline = load_pipeline(folder)
    for first in range(start, len(pairs), BATCH // 2):
        part = pairs[first : first + BATCH // 2]
        for side, scenes in enumerate(([p.better for p in part], [p.worse for p in part])):
            prompts = [worded(scene, pair.seed) for scene, pair in zip(scenes, part, strict=True)]
            found[first : first + len(part), side] = render(
                pipeline, prompts, [pair.seed for pair in part]
            )
        found.flush()
        done.write_text(str(first + len(part)))
    draft.replace(path)
    done.unlink()


def worded(scene: Scene, seed: int) -> str:
    """One wording of the scene; the same seed gives both sides of a pair the same turns."""
    return caption(scene, random.Random(seed), fillers=0.0)


def load_pipeline(folder: Path) -> Any:
    """The pipeline of a folder in float32, quiet."""
    import torch
    from diffusers import DiffusionPipeline

    pipeline: Any = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def render(
    pipeline: Any, prompts: list[str], seeds: list[int], *,
    steps: int = STEPS, guidance: float = GUIDANCE,
) -> np.ndarray:  # fmt: skip
    """uint8 (N, 64, 64, 3); picture `i` has its own generator, so batches do not matter."""
    import torch

    pictures = []
    for start in range(0, len(prompts), BATCH):
        noise = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + BATCH]]
        images = pipeline(
            prompts[start : start + BATCH], num_inference_steps=steps, guidance_scale=guidance,
            height=SIZE, width=SIZE, generator=noise, output_type="np",
        ).images  # fmt: skip
        pictures.append((images * 255 + 0.5).astype(np.uint8))
    return np.concatenate(pictures)
