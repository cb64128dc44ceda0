"""Pictures with their scenes, captions and labels: what the image-text models are trained on.

There are three views: drawings, their round trips through the autoencoder where one has been
trained, and renders (`models.embedded.renders`) where there is a text-to-image model.  Labels are
the resolved scene in numbers.  Leaves out ratings (`models.embedded.ratings`).
"""

import os
import random
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from models.embedded.autoencoder import DATA_SEED, PICTURES, to_tensor
from models.embedded.dataset import data_path, drawings, scene_of
from models.embedded.ratings import Pair, sample_rated
from models.embedded.renders import PAIRS as RENDERED
from models.embedded.renders import SEED as RENDER_SEED
from models.embedded.renders import pairs_of, rendered_pairs
from models.embedded.training import WEIGHTS, device, mark
from models.world.captions import caption
from models.world.draw import draw_scene
from models.world.grammar import intent_of, sample_voice, say
from models.world.scene import Scene, resolve
from models.world.shapes import FLYING
from models.world.vocabulary import COLOURS, FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
GRID = 8  # patches a side of the dense labels

_KIND = {name: i for i, name in enumerate(KINDS)}
_COLOUR = {name: i for i, name in enumerate(COLOURS)}
_CENTRES = {1: (0.5,), 2: (0.27, 0.73), 3: (0.175, 0.5, 0.825)}
_HALF = {1: 0.32, 2: 0.225, 3: 0.16}
# Column ranges of the label vector, in order.
FIELDS = {
    "pair": len(KINDS) * len(COLOURS),
    "first": len(KINDS),  # kind of the left group
    "count": 3,
    "place": len(PLACES),
    "time": len(TIMES),
    "weather": len(WEATHERS),
    "finish": len(FINISHES),
    "flaw": len(FLAWS),
}
WIDTH = sum(FIELDS.values())


def columns(field: str) -> slice:
    """Where a field stands in the label vector."""
    names = list(FIELDS)
    start = sum(FIELDS[name] for name in names[: names.index(field)])
    return slice(start, start + FIELDS[field])


def label(scene: Scene) -> np.ndarray:
    """float32 (WIDTH,) of zeros and ones for a resolved scene."""
    row = np.zeros(WIDTH, dtype=np.float32)

    def mark(field: str, index: int) -> None:
        row[columns(field).start + index] = 1

    for group in scene.groups:
        mark("pair", _KIND[group.kind] * len(COLOURS) + _COLOUR[group.colour or ""])
    mark("first", _KIND[scene.groups[0].kind])
    mark("count", sum(group.count for group in scene.groups) - 1)
    mark("place", list(PLACES).index(scene.place or ""))
    mark("time", list(TIMES).index(scene.time or ""))
    mark("weather", list(WEATHERS).index(scene.weather))
    for name in scene.finishes:
        mark("finish", list(FINISHES).index(name))
    for name in scene.flaws:
        mark("flaw", list(FLAWS).index(name))
    return row


def dense_label(scene: Scene) -> np.ndarray:
    """int64 (GRID * GRID,): 0 for background, else 1 + kind * colours + colour, from the boxes.

    The boxes are those of the drawing without its jitter: good enough to teach patches.
    """
    objects = [group for group in scene.groups for _ in range(group.count)]
    half = _HALF[len(objects)]
    middle = (np.arange(GRID) + 0.5) / GRID
    dense = np.zeros((GRID, GRID), dtype=np.int64)
    for group, x in zip(objects, _CENTRES[len(objects)], strict=True):
        flying = group.kind in FLYING or scene.place == "space"
        y = 0.45 if flying else 0.86 - half
        inside = (abs(middle[:, None] - y) < 0.8 * half) & (abs(middle[None, :] - x) < 0.8 * half)
        dense[inside] = 1 + _KIND[group.kind] * len(COLOURS) + _COLOUR[group.colour or ""]
    return dense.ravel()


def wording(scene: Scene, generator: random.Random) -> str:
    """A caption, a prompt or the intent of a scene, in random words."""
    draw = generator.random()
    if draw < 0.55:
        drop = 0.0 if generator.random() < 0.6 else 0.25
        return caption(scene, generator, drop=drop)
    if draw < 0.8:
        return say(scene, sample_voice(generator)).text
    return intent_of(scene)


def normalise(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (B, 64, 64, 3) to float32 (B, 3, 64, 64), as the image processor does."""
    pixels = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
    return (pixels - mean[:, None, None]) / std[:, None, None]


def round_trips(pictures: np.ndarray, name: str) -> np.ndarray | None:
    """The pictures after encoding and decoding, uint8, or None while there is no autoencoder."""
    if not (WEIGHTS / "vae" / "config.json").exists():
        return None
    path = data_path(f"round-trips-{name}-{mark(WEIGHTS / 'vae')}")
    if not path.exists():
        from models.embedded.autoencoder import load

        vae, parts = load(), []
        with torch.no_grad():
            for i in range(0, len(pictures), 64):
                y = vae(to_tensor(pictures[i : i + 64]).to(device())).sample
                parts.append(((y.clamp(-1, 1) + 1) * 127.5 + 0.5).byte().cpu().permute(0, 2, 3, 1))
        draft = path.with_suffix(f".{os.getpid()}.npy")
        np.save(draft, torch.cat(parts).numpy())
        draft.replace(path)
    return np.load(path, mmap_mode="r")


@dataclass
class Pictures:
    """The drawn training pictures of both styles, with the scene of each."""

    seed: int = DATA_SEED

    @cached_property
    def drawings(self) -> list[np.ndarray]:
        """One array a style, uint8 (N, 64, 64, 3)."""
        return [drawings(n, self.seed, style) for style, n in PICTURES.items()]

    @cached_property
    def trips(self) -> list[np.ndarray]:
        """Round trips of the first pictures of each style; empty without an autoencoder."""
        found = [
            round_trips(pictures[: len(pictures) // 8], f"{style}-{self.seed}-{len(pictures)}")
            for style, pictures in zip(PICTURES, self.drawings, strict=True)
        ]
        return [trips for trips in found if trips is not None]

    @cached_property
    def renders(self) -> list[tuple[np.ndarray, list[Pair]]]:
        """(pictures (N, 2, 64, 64, 3), pairs) of each style that has a text-to-image model."""
        found = [rendered_pairs(style, RENDERED, RENDER_SEED) for style in PICTURES]
        pairs = pairs_of(RENDER_SEED, RENDERED)
        return [(pictures, pairs) for pictures in found if pictures is not None]

    def __len__(self) -> int:
        return sum(len(pictures) for pictures in self.drawings)

    def sample(
        self, count: int, generator: random.Random, *, all_views: bool
    ) -> tuple[np.ndarray, list[Scene], list[Scene]]:
        """`count` random pictures, their scenes as said, and as resolved.

        With `all_views`, a third each are drawings, round trips and renders, where there are any;
        all are shifted by at most two pixels, so that no model relies on exact places.
        """
        pictures, said, resolved = [], [], []
        for _ in range(count):
            view = generator.randrange(3) if all_views else 0
            if view == 2 and self.renders:
                picture, scene, layout = self._render(generator)
            else:
                picture, scene, layout = self._drawing(generator, tripped=view == 1)
            pictures.append(_shift(picture, generator))
            said.append(scene)
            resolved.append(resolve(scene, layout))
        return np.stack(pictures), said, resolved

    def _drawing(self, generator: random.Random, *, tripped: bool) -> tuple[np.ndarray, Scene, int]:
        style = 0 if generator.random() < 0.75 else 1
        if not tripped and generator.random() < 0.5:  # finished as ratings have it, drawn now
            scene, layout = sample_rated(generator)
            return draw_scene(scene, layout, list(PICTURES)[style]), scene, layout
        source = self.trips[style] if tripped and self.trips else self.drawings[style]
        index = generator.randrange(len(source))
        return source[index], *scene_of(self.seed, index)

    def _render(self, generator: random.Random) -> tuple[np.ndarray, Scene, int]:
        pictures, pairs = generator.choice(self.renders)
        index, side = generator.randrange(len(pictures)), generator.randrange(2)
        pair = pairs[index]
        return pictures[index, side], (pair.better, pair.worse)[side], pair.seed


def _shift(picture: np.ndarray, generator: random.Random) -> np.ndarray:
    dy, dx = generator.randint(0, 4), generator.randint(0, 4)
    return np.pad(picture, ((2, 2), (2, 2), (0, 0)), mode="edge")[dy : dy + 64, dx : dx + 64]
