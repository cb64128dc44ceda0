"""From settings to a diffusers pipeline: checks, dtype, device, scheduler, LoRA, memory savers."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.device import move, pick_device, pick_dtype
from models.loading import load_model, quiet
from models.tis.describe import lora_files
from models.tis.folder import PipelineFolder, open_folder
from models.weights import sha256, verify, weight_files
from schemas.errors import ModelError, SettingsError
from schemas.settings import TisSettings

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline


def load_pipeline(settings: TisSettings, editing: bool = False) -> "DiffusionPipeline":
    """The pipeline of `settings` on its device, progress bar off, without a safety checker.

    `editing` wants one that changes a picture by an instruction (InstructPix2Pix) instead of one
    that makes a picture of a prompt.
    """
    folder = open_folder(settings.model, settings.variant)
    files = folder.files(settings.variant)
    verify(folder.root, files)
    device = pick_device(settings.device, "tis.device")
    dtype = pick_dtype(settings.dtype, device, prefer_bfloat16="transformer" in folder.components)
    with quiet():
        import diffusers  # noqa: F401  (it announces what it would rather have)
    with quiet():
        pipeline = _from_pretrained(folder, files, settings, dtype, editing)
    (check_editing if editing else check_text_to_image)(pipeline, folder)
    if settings.scheduler:
        pipeline.scheduler = make_scheduler(pipeline, settings)
    add_loras(pipeline, settings)
    place(pipeline, settings, device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _from_pretrained(
    folder: PipelineFolder, files: list[Path], settings: TisSettings, dtype: Any, editing: bool
) -> "DiffusionPipeline":
    import diffusers

    kind = getattr(diffusers, folder.pipeline, None)
    if kind is None:
        raise ModelError(
            f"{folder.root} is a {folder.pipeline}, which diffusers {diffusers.__version__} does "
            "not know. A newer diffusers may; custom pipelines would run remote code and stay off."
        )
    takes = inspect.signature(kind.__init__).parameters
    absent = ["safety_checker", "feature_extractor", "image_encoder", *folder.left_out()]
    arguments: dict[str, Any] = {name: None for name in absent if name in takes}
    if "requires_safety_checker" in takes:
        arguments["requires_safety_checker"] = False
    arguments |= {
        "torch_dtype": dtype,
        "variant": settings.variant,
        "use_safetensors": True,
        "local_files_only": True,
    }
    arguments |= _encoders(folder, settings, dtype)
    try:
        kind = kind if editing else _text_to_image(kind)
        pipeline = kind.from_pretrained(folder.root, **arguments)
        _check_complete(folder, pipeline)
        return pipeline
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(explain_failure(folder.root, files, error)) from error


def _encoders(folder: PipelineFolder, settings: TisSettings, dtype: Any) -> dict[str, Any]:
    """The `transformers` models of the pipeline, loaded by us: diffusers would let one with
    missing tensors pass, filled with random numbers."""
    import transformers

    encoders = {}
    for name, kind in folder.components.items():
        if not (name.startswith("text_encoder") and hasattr(transformers, kind)):
            continue
        variant = settings.variant
        files = weight_files(folder.root / name, variant)
        if not any(f".{variant}" in path.name for path in files):
            variant = None
        encoders[name] = load_model(
            folder.root / name, dtype, "cpu", getattr(transformers, kind), variant
        )
    return encoders


def _check_complete(folder: PipelineFolder, pipeline: "DiffusionPipeline") -> None:
    # diffusers leaves tensors that the file lacks on the meta device, without a word.
    for name in folder.components:
        part: Any = getattr(pipeline, name, None)
        if hasattr(part, "named_parameters"):
            empty = [key for key, value in part.named_parameters() if value.is_meta]
            if empty:
                files = weight_files(folder.root / name)
                hashes = ", ".join(f"{p} (SHA-256 {sha256(p)})" for p in files)
                raise ModelError(
                    f"{hashes} lacks {len(empty)} of the weights of {type(part).__name__}, among "
                    f"them {', '.join(sorted(empty)[:3])}: it is not complete, or of another model."
                )


def _text_to_image(kind: Any) -> Any:
    """The class to load: the folder's own if a prompt is all it needs, else diffusers' choice.

    A folder may name an image-to-image class of the same components.  AutoPipeline is asked only
    then: importing it imports every pipeline there is, which takes several seconds.
    """
    if wants_only_prompt(kind):
        return kind
    from diffusers.pipelines.auto_pipeline import (
        AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        _get_task_class,
    )

    return (
        _get_task_class(
            AUTO_TEXT2IMAGE_PIPELINES_MAPPING, kind.__name__, throw_error_if_not_exist=False
        )
        or kind
    )


# These may be given a picture to start from and need none.
IMAGE_OPTIONAL = {
    "Flux2Pipeline",
    "Flux2KleinPipeline",
    "FluxKontextPipeline",
    "QwenImage21Pipeline",
    "GlmImagePipeline",
    "ZImageOmniPipeline",
}


def wants_only_prompt(kind: Any) -> bool:
    """True for a pipeline class that makes a picture of a prompt and nothing else."""
    takes = inspect.signature(kind.__call__).parameters
    more = {"image", "mask_image", "control_image", "num_frames", "video"} & set(takes)
    return "prompt" in takes and (not more or kind.__name__ in IMAGE_OPTIONAL)


def explain_failure(root: Path, files: list[Path], error: Exception) -> str:
    """Which file a failed load is about, with its hash, and what was said."""
    from safetensors import safe_open

    said = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"
    for path in (p for p in files if p.suffix == ".safetensors"):
        try:
            with safe_open(path, framework="numpy"):
                pass
        except Exception as broken:
            return f"{path} (SHA-256 {sha256(path)}) is not a readable safetensors file: {broken}"
    hashes = ", ".join(
        f"{p.relative_to(root)} {sha256(p)[:16]}…" for p in files if p.suffix == ".safetensors"
    )
    return f"The checkpoint {root} cannot be loaded. {said} Weights (SHA-256): {hashes}"


def check_text_to_image(pipeline: "DiffusionPipeline", folder: PipelineFolder) -> None:
    """Raise ModelError for a pipeline that wants more than a prompt (an image, a video)."""
    if not wants_only_prompt(type(pipeline)):
        raise ModelError(
            f"{folder.root} is a {folder.pipeline}, which does not turn a prompt alone into a "
            "picture. Give a text-to-image checkpoint."
        )


def check_editing(pipeline: "DiffusionPipeline", folder: PipelineFolder) -> None:
    """Raise ModelError unless it takes a picture, an instruction and a guidance for each."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    if not {"prompt", "image", "image_guidance_scale"} <= set(takes):
        raise ModelError(
            f"{folder.root} is a {folder.pipeline}, which does not edit a picture by an "
            "instruction. Give an InstructPix2Pix checkpoint."
        )


def make_scheduler(pipeline: "DiffusionPipeline", settings: TisSettings) -> Any:
    """The scheduler named in the settings, built from the checkpoint's own scheduler config."""
    import diffusers

    kind: Any = getattr(diffusers, settings.scheduler or "", None)
    if not hasattr(kind, "set_timesteps"):
        fitting = ", ".join(sorted(k.__name__ for k in pipeline.scheduler.compatibles))
        raise SettingsError(
            f"tis.scheduler = {settings.scheduler!r} is no scheduler of diffusers. "
            f"Fitting here: {fitting}."
        )
    return kind.from_config(pipeline.scheduler.config, **dict(settings.scheduler_options))


def add_loras(pipeline: "DiffusionPipeline", settings: TisSettings) -> None:
    """Load the LoRAs and fuse them into the weights, so that a step costs what it cost before."""
    names, scales = [], []
    for i, (lora, file) in enumerate(zip(settings.loras, lora_files(settings.loras), strict=True)):
        if not hasattr(pipeline, "load_lora_weights"):
            raise SettingsError(f"{type(pipeline).__name__} takes no LoRA: leave tis.loras empty.")
        names.append(f"lora_{i}")
        scales.append(lora.scale)
        try:
            pipeline.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=names[-1]
            )
        except Exception as error:
            raise ModelError(
                f"LoRA {file} (SHA-256 {sha256(file)}) does not fit {settings.model}: {error}"
            ) from error
    if names:
        pipeline.set_adapters(names, scales)
        pipeline.fuse_lora(adapter_names=names)
        pipeline.unload_lora_weights()


def _channels_last(pipeline: "DiffusionPipeline") -> None:
    # Measured on one CPU core with the embedded model: 13% less time a picture than with PyTorch's
    # default layout. The choice of attention processor made no difference there.
    import torch

    for name in ("unet", "vae"):
        part: Any = getattr(pipeline, name, None)
        # Autoencoders of video type have five-dimensional weights, which know no such layout.
        if part is not None and all(weight.dim() < 5 for weight in part.parameters()):
            part.to(memory_format=torch.channels_last)


def place(pipeline: "DiffusionPipeline", settings: TisSettings, device: str) -> None:
    """Move to the device, or leave parts on the CPU, and switch the memory savers on."""
    if settings.offload != "none" and device == "cpu":
        raise SettingsError(
            f"tis.offload = {settings.offload!r} keeps idle parts off an accelerator, but the "
            "device is the CPU: set it to 'none'."
        )
    if settings.offload == "model":
        pipeline.enable_model_cpu_offload(device=device)
    elif settings.offload == "sequential":
        pipeline.enable_sequential_cpu_offload(device=device)
    else:
        move(pipeline, device, settings.model)
    if device == "cpu":
        _channels_last(pipeline)
    if settings.vae_slicing and hasattr(pipeline.vae, "enable_slicing"):
        pipeline.vae.enable_slicing()
    if settings.compile:
        network = getattr(pipeline, "unet", None) or pipeline.transformer
        network.compile()
