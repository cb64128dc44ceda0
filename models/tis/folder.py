"""What a diffusers pipeline folder says about itself, read without torch.

The layout is diffusers': `model_index.json` names the pipeline class and maps each component to
[library, class]; every component has a folder of its own
(https://huggingface.co/docs/diffusers/using-diffusers/loading).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.weights import config_files, resolve, weight_files
from schemas.errors import ModelError

# Folders of these are not loaded (the TIS has no safety checker; unsafe prompts end in collect).
UNUSED = frozenset({"safety_checker", "feature_extractor", "image_encoder"})
MODEL_LIBRARIES = frozenset({"diffusers", "transformers"})
# Components of these classes have configs and vocabularies, but no weights.
WEIGHTLESS = ("Scheduler", "Tokenizer", "TokenizerFast", "Processor", "Extractor")


@dataclass(frozen=True)
class PipelineFolder:
    """A resolved checkpoint: `root`, the pipeline's class name, and {component: class name}."""

    root: Path
    pipeline: str
    components: dict[str, str]

    def left_out(self) -> list[str]:
        """Components that the index names and the checkpoint goes without (SD 3 without T5)."""
        index = read_json(self.root / "model_index.json")
        return [name for name, value in index.items() if value == [None, None]]

    def files(self, variant: str | None) -> list[Path]:
        """Every file that decides what the pipeline computes, of the given weights variant.

        Raises ModelError if a component's folder or its weights are missing, or are pickles.
        """
        files = [self.root / "model_index.json"]
        for name, kind in self.components.items():
            folder = self.root / name
            if not folder.is_dir():
                raise ModelError(
                    f"{self.root} is not complete: model_index.json lists {name} ({kind}), but "
                    f"there is no folder {folder}. Download the checkpoint again."
                )
            files += config_files(folder)
            if not kind.endswith(WEIGHTLESS):
                weights = weight_files(folder, variant)
                if not weights:
                    raise ModelError(
                        f"{folder} holds no weights (*.safetensors) for {kind}: the checkpoint "
                        "is not complete. Download or train it again."
                    )
                files += weights
        return files

    def config(self, component: str, name: str) -> dict[str, Any]:
        """A JSON file of a component, {} where it has none."""
        return read_json(self.root / component / name, missing_ok=True)


# Files of components only: many repositories have the same weights as one big file in the root.
HUB_FILES = ("model_index.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.safetensors")
NOT_NEEDED = ("safety_checker/*", "*.non_ema.*", "*/flax_*", "*openvino*")
OTHER_VARIANTS = ("*.fp16.*", "*.fp16-*", "*.bf16.*", "*.fp8.*")


def open_folder(model: str, variant: str | None = None) -> PipelineFolder:
    """Resolve `model` (folder or hub id) and read its `model_index.json`.

    `variant` only matters for what a download leaves out.

    Raises ModelError if it is no diffusers pipeline.
    """
    root = resolve(model, HUB_FILES, NOT_NEEDED if variant else NOT_NEEDED + OTHER_VARIANTS)
    if not (root / "model_index.json").is_file():
        if root.is_file():
            what = "a single file"
        else:
            what = "a folder without model_index.json"
        raise ModelError(
            f"{root} is no diffusers pipeline: it is {what}. Give a folder as written by "
            "`pipeline.save_pretrained(…)`; a single-file checkpoint is converted by "
            "`StableDiffusionPipeline.from_single_file(…).save_pretrained(…)`."
        )
    index = read_json(root / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError(f"{root / 'model_index.json'} names no pipeline (_class_name is missing).")
    components = {}
    for name, value in index.items():
        if name.startswith("_") or name in UNUSED or not isinstance(value, list) or not value[0]:
            continue
        if value[0] not in MODEL_LIBRARIES and not value[0].startswith("stable_diffusion"):
            raise ModelError(
                f"{root}: component {name} comes from the library {value[0]!r}. Only components "
                "of diffusers and transformers are loaded; remote code stays off."
            )
        components[name] = str(value[1])
    return PipelineFolder(root, pipeline, components)


def read_json(path: Path, *, missing_ok: bool = False) -> dict[str, Any]:
    """A JSON object from `path`; ModelError naming the file if it cannot be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if missing_ok:
            return {}
        raise ModelError(f"{path} is missing.") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path} must hold a JSON object.")
    return value
