"""Direct image editing: the raw prompt's picture and the instruction, through InstructPix2Pix.

The pipeline is diffusers' (`StableDiffusionInstructPix2PixPipeline` or its SDXL kind), by folder
or hub id, under settings like those of [tis].  Like a render, a picture depends on its inputs and
its seed alone.

Leaves out: masks and inpainting.
"""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from models.evaluation.methods import editor_settings
from models.tis.load import load_pipeline
from models.tis.render import call_arguments, to_images
from schemas.evaluation import MethodSettings


class Editor:
    """An editing pipeline in memory."""

    def __init__(self, settings: MethodSettings):
        self.settings = editor_settings(settings)
        self.pipeline: Any = load_pipeline(self.settings, editing=True)
        self.batch = self.settings.batch
        self._arguments = call_arguments(self.pipeline, self.settings)
        self._arguments["image_guidance_scale"] = settings.image_guidance

    def edit(
        self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[Image.Image]:
        """One picture each, in order.  Raises ModelError for NaN."""
        made: list[Image.Image] = []
        for start in range(0, len(images), self.batch):
            some = slice(start, start + self.batch)
            made += self._edit_batch(images[some], instructions[some], seeds[some])
        return made

    def _edit_batch(
        self, images: Sequence[Image.Image], instructions: Sequence[str], seeds: Sequence[int]
    ) -> list[Image.Image]:
        import torch

        generators = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
        arguments = {
            name: [value] * len(images) if name == "negative_prompt" else value
            for name, value in self._arguments.items()
        }
        # The SDXL kind would otherwise edit at its own size, whatever the picture's is.
        if "height" in inspect.signature(type(self.pipeline).__call__).parameters:
            arguments |= {"width": images[0].width, "height": images[0].height}
        pixels = self.pipeline(
            prompt=list(instructions), image=[image.convert("RGB") for image in images],
            generator=generators, output_type="np", **arguments,
        ).images  # fmt: skip
        return to_images(np.asarray(pixels), self.settings)
