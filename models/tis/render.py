"""A loaded text-to-image model: prompts and seeds in, pictures out.

Each picture has a generator of its own, seeded on the CPU: it depends on its prompt and seed, not
on its batch (beyond rounding) nor on the device's random numbers.  When memory runs out the batch
is halved, once per level, and stays halved.

A `Tis` is not safe to share between threads: diffusers keeps a step counter in the scheduler.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from models.device import free_memory, out_of_memory
from models.tis.describe import TisIdentity, describe_tis, load_token_counter
from schemas.errors import ModelError, PromptTooLong, SettingsError
from schemas.settings import TisSettings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def load_tis(settings: TisSettings) -> "Tis":
    """Load the pipeline that `settings` name, on its device and ready to render.

    Raises ModelError for a checkpoint that is missing, corrupt, a pickle or no text-to-image
    pipeline, SettingsError for a scheduler, device or offload that does not fit it.
    """
    from models.tis.load import load_pipeline

    described = describe_tis(settings)  # first: what is wrong is said before torch is imported
    pipeline = load_pipeline(settings)
    if describe_tis(settings) != described:
        raise ModelError(f"{settings.model} changed while it was loaded: load it again.")
    return Tis(pipeline, settings, described, load_token_counter(settings))


class Tis:
    """A text-to-image model in memory.  `pipeline` is the diffusers pipeline itself."""

    def __init__(
        self,
        pipeline: "DiffusionPipeline",
        settings: TisSettings,
        identity: TisIdentity,
        counter: Callable[[str], int],
    ):
        self.pipeline = pipeline
        self.settings = settings
        self.identity = identity
        self.token_budget = identity.token_budget
        self.batch = settings.batch
        self._count = counter
        self._arguments = call_arguments(pipeline, settings)

    def count_tokens(self, prompt: str) -> int:
        """Tokens of `prompt` in the text encoder, special tokens not counted."""
        return self._count(prompt)

    def render(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        on_step: Callable[[int, int], None] | None = None,
    ) -> list[Image.Image]:
        """One RGB picture for each pair of prompt and seed, in order.

        `on_step` hears (steps done, steps of a batch); what it raises ends the rendering.

        Raises PromptTooLong (nothing is rendered then), ValueError if the two differ in length,
        ModelError if memory does not even suffice for a single picture or values overflow.
        """
        if len(prompts) != len(seeds):
            raise ValueError(f"{len(prompts)} prompts but {len(seeds)} seeds: one seed a prompt.")
        self.check(prompts)
        images: list[Image.Image] = []
        while len(images) < len(prompts):
            some = slice(len(images), len(images) + self.batch)
            try:
                images += self._render_batch(prompts[some], seeds[some], on_step)
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error):
                    raise
                self._lower_batch(len(prompts[some]), error)
        return images

    def check(self, prompts: Sequence[str]) -> None:
        """Raise PromptTooLong for the first prompt over the token budget."""
        for prompt in [*dict.fromkeys(prompts), self.settings.negative_prompt]:
            # A token has at least one character (byte), so short prompts need no counting.
            if len(prompt.encode()) <= self.token_budget:
                continue
            tokens = self._count(prompt)
            if tokens > self.token_budget:
                raise PromptTooLong(
                    f"The prompt has {tokens} tokens, {self.identity.name} takes "
                    f"{self.token_budget}. Shorten it by {tokens - self.token_budget} tokens: "
                    f"{prompt[:80]!r}…"
                )

    def _render_batch(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        on_step: Callable[[int, int], None] | None,
    ) -> list[Image.Image]:
        import torch

        generators = [torch.Generator("cpu").manual_seed(int(seed)) for seed in seeds]
        arguments = {
            name: [value] * len(prompts) if name == "negative_prompt" else value
            for name, value in self._arguments.items()
        }
        if (
            on_step
            and "callback_on_step_end" in inspect.signature(self.pipeline.__call__).parameters
        ):
            arguments["callback_on_step_end"] = step_callback(on_step, self.settings.steps)
        pixels = self.pipeline(  # pyright: ignore[reportCallIssue]
            prompt=list(prompts), generator=generators, output_type="np", **arguments
        ).images
        return to_images(np.asarray(pixels), self.settings)

    def _lower_batch(self, size: int, error: BaseException) -> None:
        free_memory()
        if size <= 1:
            raise ModelError(
                f"Out of memory while rendering a single picture with {self.identity.name}. "
                "Lower tis.width and tis.height, set tis.dtype to float16 or bfloat16, "
                "tis.vae_slicing = true, or tis.offload = 'model' (then 'sequential'). "
                f"The device said: {str(error).splitlines()[0][:200]}"
            ) from error
        self.batch = max(1, min(self.batch, size) // 2)


def step_callback(on_step: Callable[[int, int], None], steps: int) -> Callable[..., dict]:
    """diffusers' callback_on_step_end, which changes nothing and tells `on_step`."""

    def callback(_pipeline: Any, step: int, _timestep: Any, tensors: dict) -> dict:
        on_step(min(step + 1, steps), steps)
        return tensors

    return callback


def call_arguments(pipeline: "DiffusionPipeline", settings: TisSettings) -> dict[str, Any]:
    """The settings as keyword arguments that this pipeline's `__call__` takes.

    `guidance` is classifier-free guidance; pipelines with both a distilled and a true guidance
    scale (FLUX) get the true one from `true_cfg_scale`.  QwenImage has only the true one.
    """
    takes = inspect.signature(type(pipeline).__call__).parameters
    wanted: dict[str, Any] = {
        "num_inference_steps": settings.steps,
        "guidance_scale": settings.guidance,
        "height": settings.height,
        "width": settings.width,
        "max_sequence_length": settings.max_sequence_length,
        "true_cfg_scale": settings.true_cfg_scale,
        "negative_prompt": settings.negative_prompt or None,
    }
    if type(pipeline).__name__.startswith("QwenImage"):
        # Guidance happens only when a negative prompt is given; its card uses a blank.
        wanted |= {
            "true_cfg_scale": settings.true_cfg_scale or settings.guidance,
            "negative_prompt": settings.negative_prompt or " ",
            "guidance_scale": None,
        }
    if settings.negative_prompt and "negative_prompt" not in takes:
        raise SettingsError(
            f"tis.negative_prompt = {settings.negative_prompt!r}, but {type(pipeline).__name__} "
            "takes none: leave it empty."
        )
    elif settings.negative_prompt and "true_cfg_scale" in takes and not settings.true_cfg_scale:
        raise SettingsError(
            f"tis.negative_prompt = {settings.negative_prompt!r} does nothing in "
            f"{type(pipeline).__name__} without true_cfg_scale: set it above 1, or leave it empty."
        )
    arguments = {name: value for name, value in wanted.items() if value is not None}
    arguments = {name: value for name, value in arguments.items() if name in takes}
    if "clean_caption" in takes:
        # By default it rewrites the prompt where bs4 and ftfy are installed: not the same text.
        arguments["clean_caption"] = False
    return arguments


def to_images(pixels: np.ndarray, settings: TisSettings) -> list[Image.Image]:
    """(N, H, W, 3) floats in [0, 1] to RGB pictures.  Raises ModelError for NaN."""
    if not np.isfinite(pixels).all():
        raise ModelError(
            f"{settings.model} computed NaN or infinite pixels in {settings.dtype}: its values "
            "overflow. Set tis.dtype to bfloat16 or float32."
        )
    return [Image.fromarray(image) for image in (pixels * 255).round().astype(np.uint8)]
