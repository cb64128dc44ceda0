"""Pictures to the tensors that vision encoders take, with PIL and numpy only.

The same numbers whether torchvision is installed or not: a score must not depend on it.  Does what
`preprocessor_config.json` says (resize, centre crop, rescale, normalise), as transformers' PIL
processors do (a test compares them).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from models.tis.folder import read_json

# CLIP's normalisation: https://github.com/openai/CLIP/blob/main/clip/clip.py, `_transform`
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Pixels:
    """Resize the short side to `size` and crop the centre, or (`square`) resize both sides."""

    size: tuple[int, int]  # height, width of the result
    short: int | None = None  # short side before the crop; None: resize both sides to `size`
    pad: bool = False  # instead: long side to `size`, black borders (HPSv2's `ResizeMaxSize`)
    resample: Image.Resampling = Image.Resampling.BICUBIC
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    @classmethod
    def from_folder(cls, folder: Path, size: int) -> "Pixels":
        """As `preprocessor_config.json` says; CLIP's own (at `size`) where there is none."""
        config = read_json(folder / "preprocessor_config.json", missing_ok=True)
        if not config:
            return cls((size, size), size)
        target: Any = config.get("size", size)
        crop: Any = config.get("crop_size", target)
        short = None
        if isinstance(target, int):
            short = target
        elif "shortest_edge" in target:
            short = target["shortest_edge"]
        if short is None:
            crop = target
        box = (crop, crop) if isinstance(crop, int) else (crop["height"], crop["width"])
        return cls(
            size=box,
            short=short,
            resample=Image.Resampling(config.get("resample", Image.Resampling.BICUBIC)),
            mean=tuple(config.get("image_mean", CLIP_MEAN)),
            std=tuple(config.get("image_std", CLIP_STD)),
        )

    def __call__(self, images: list[Image.Image]) -> np.ndarray:
        """RGB pictures of any size to float32 (n, 3, height, width)."""
        pixels = np.stack([np.asarray(self._fit(image)) for image in images])
        scale = 1 / (255 * np.asarray(self.std, np.float32))
        shift = np.asarray(self.mean, np.float32) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(
            (pixels * scale - shift).astype(np.float32).transpose(0, 3, 1, 2)
        )

    def _fit(self, image: Image.Image) -> Image.Image:
        height, width = self.size
        if self.pad:
            return ImageOps.pad(image, (width, height), self.resample)
        if self.short is None:
            return image.resize((width, height), self.resample)
        w, h = image.size
        if w <= h:
            resized = (self.short, int(self.short * h / w))
        else:
            resized = (int(self.short * w / h), self.short)
        if resized != image.size:
            image = image.resize(resized, self.resample)
        left, top = (resized[0] - width) // 2, (resized[1] - height) // 2
        return image.crop((left, top, left + width, top + height))
