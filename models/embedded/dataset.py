"""Drawn pictures and their latents on disk, so that a training loop never waits for drawing.

`drawings` keeps uint8 (N, 64, 64, 3) under `<home>/data/`; picture `i` of a set depends on the
set's seed and `i` alone, so a set can be described again without storing its scenes.  Leaves out
captions: they are worded anew each time a picture is used (`models.world.captions`).
"""

import os
import random
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from models.embedded.training import home
from models.world.draw import SIZE, draw_scene, object_mask
from models.world.scene import Scene, is_unseen_combination, resolve, sample_scene

_CHUNK = 500
LATENT = 8  # cells of a latent along each side


def scene_of(seed: int, index: int, *, unseen: bool = False) -> tuple[Scene, int]:
    """Scene `index` of the set `seed`, and the seed it is drawn with.

    Without `unseen`, what the scene leaves unsaid never resolves to an unseen combination either;
    with it, all combinations may occur.
    """
    generator = random.Random(seed * 1_000_003 + index)
    while True:
        scene = sample_scene(generator, unseen=None if unseen else False)
        layout = generator.getrandbits(31)
        if unseen or not is_unseen_combination(resolve(scene, layout)):
            return scene, layout


def _chunk(job: tuple[int, int, int, str]) -> np.ndarray:
    seed, start, stop, style = job
    pictures = []
    for index in range(start, stop):
        scene, layout = scene_of(seed, index)
        pictures.append(draw_scene(scene, layout, style))
    return np.stack(pictures)


def _mask_chunk(job: tuple[int, int, int, str]) -> np.ndarray:
    seed, start, stop, style = job
    masks = []
    for index in range(start, stop):
        masks.append(mask_of(*scene_of(seed, index), style))
    return np.stack(masks)


def mask_of(scene: Scene, layout: int, style: str = "classic") -> np.ndarray:
    """Share of each latent cell that belongs to an object, float32 (8, 8) in [0, 1]."""
    mask = object_mask(scene, layout, style)
    return mask.reshape(LATENT, SIZE // LATENT, LATENT, SIZE // LATENT).mean((1, 3))


def masks(count: int, seed: int, style: str, processes: int = 2) -> np.ndarray:
    """Share of each latent cell that belongs to an object, float32 (N, 8, 8) in [0, 1]."""
    path = data_path(f"masks-{style}-{seed}-{count}")
    if not path.exists():
        jobs = [(seed, i, min(i + _CHUNK, count), style) for i in range(0, count, _CHUNK)]
        with get_context("spawn").Pool(processes) as pool:
            found = np.concatenate(list(pool.imap(_mask_chunk, jobs)))
        draft = path.with_suffix(f".{os.getpid()}.npy")
        np.save(draft, found)
        draft.replace(path)
    return np.load(path)


def drawings(count: int, seed: int, style: str, processes: int = 2) -> np.ndarray:
    """Pictures 0 to `count` of a set as a read-only memory map, drawn now if need be."""
    path = home() / "data" / f"drawings-{style}-{seed}-{count}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.npy")
        shape = (count, SIZE, SIZE, 3)
        array = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape)
        jobs = [(seed, i, min(i + _CHUNK, count), style) for i in range(0, count, _CHUNK)]
        with get_context("spawn").Pool(processes) as pool:
            for job, pictures in zip(jobs, pool.imap(_chunk, jobs), strict=True):
                array[job[1] : job[2]] = pictures
        array.flush()
        draft.replace(path)
    return np.load(path, mmap_mode="r")


def batches(count: int, size: int, seed: int, start: int = 0) -> Iterator[np.ndarray]:
    """Index batches without end, a new order each epoch; resumes at batch `start`."""
    per_epoch = count // size
    step = start
    while True:
        epoch, first = divmod(step, per_epoch)
        order = np.random.default_rng((seed, epoch)).permutation(count)
        for k in range(first, per_epoch):
            yield np.sort(order[k * size : (k + 1) * size])
            step += 1


def data_path(name: str) -> Path:
    """Where a derived array of this name is kept."""
    folder = home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.npy"
