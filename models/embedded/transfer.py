"""Step `sdxl`: the transfer model, in SDXL's folder format.

Another seed, drawing style and two text encoders; no training of the student ever sees it, so a
gain on it is not a gain at fooling `tis-sd`.  `python -m models.embedded sdxl`.
"""

from dataclasses import replace
from pathlib import Path

from models.embedded import diffusion
from models.embedded.diffusion import SD

SDXL = replace(
    SD, name="tis-sdxl", xl=True, style="papercut", seed=3, channels=(96, 160), finished_every=1
)


def train(steps: int | None = None, *, warm: bool = False) -> Path:
    """Train or go on training; returns the folder of the pipeline."""
    return diffusion.train(steps, recipe=SDXL, warm=warm)
