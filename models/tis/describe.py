"""Identity and token budget of a text-to-image model, without torch.

`tis_id` is the content id of the weights' hash and of the settings that determine a picture
(`TisSettings.identity`); where and how fast it is computed is not part of it.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models.tis.folder import PipelineFolder, open_folder
from models.tis.tokens import load_counter, token_budget
from models.weights import HUB_PATTERNS, combine, hash_files, resolve
from schemas.errors import ModelError, SettingsError
from schemas.identity import tis_id
from schemas.settings import LoraSettings, TisSettings


class TisIdentity(NamedTuple):
    """One row of `tis_models`: what a render is attributed to."""

    tis_id: str
    weights_hash: str
    token_budget: int  # tokens a prompt may have, special tokens not counted
    settings_json: str  # canonical JSON of what determines a picture
    name: str  # folder name or hub id


def describe_tis(settings: TisSettings) -> TisIdentity:
    """Identity of the model that `settings` name.  Raises ModelError if it is not there."""
    folder = open_folder(settings.model, settings.variant)
    weights = combine(
        hash_files(folder.root, folder.files(settings.variant)),
        *(hash_files(path.parent, [path]) for path in lora_files(settings.loras)),
    )
    identity = settings.identity()
    return TisIdentity(
        tis_id=tis_id(weights, identity),
        weights_hash=weights,
        token_budget=budget_of(folder, settings),
        settings_json=json.dumps(identity, sort_keys=True, separators=(",", ":")),
        name=settings.model if not Path(settings.model).is_absolute() else folder.root.name,
    )


def budget_of(folder: PipelineFolder, settings: TisSettings) -> int:
    """The profile's `token_budget` if it names one, else the text encoder's own.

    Raises SettingsError for a longer one than the encoder reads (the rest would be cut in silence),
    and ModelError where neither says how long.
    """
    wish, own = settings.token_budget, token_budget(folder, settings.max_sequence_length)
    budget = wish or own
    if budget is None:
        raise ModelError(
            f"The token budget of {folder.pipeline} in {folder.root} is not known: set "
            "`tis.token_budget` in the profile to the number of prompt tokens its text encoder "
            "takes."
        )
    if own is not None and budget > own:
        raise SettingsError(
            f"tis.token_budget = {wish}, but the text encoder of {settings.model} reads {own} "
            "tokens of a prompt and cuts the rest: lower it, or leave it out."
        )
    return budget


def load_token_counter(settings: TisSettings) -> Callable[[str], int]:
    """A function from prompt to tokens (special tokens not counted) of the model's text encoder.

    Needs neither torch nor the weights in memory; about 0.1 s to load, 20 µs a prompt.
    """
    return load_counter(open_folder(settings.model, settings.variant))


def lora_files(loras: tuple[LoraSettings, ...]) -> list[Path]:
    """The safetensors file of each LoRA.  Raises ModelError if one is missing or ambiguous."""
    return [_lora_file(lora) for lora in loras]


def _lora_file(lora: LoraSettings) -> Path:
    place = resolve(lora.path, [lora.weight_name] if lora.weight_name else HUB_PATTERNS)
    if place.is_file():
        found = [place]
    elif lora.weight_name:
        found = [place / lora.weight_name]
    else:
        found = sorted(place.glob("*.safetensors"))
    if len(found) != 1 or not found[0].is_file():
        names = ", ".join(p.name for p in found) or "none"
        raise ModelError(
            f"LoRA {lora.path!r}: exactly one safetensors file is needed, found {names}. "
            "Name it with `weight_name`."
        )
    if found[0].suffix != ".safetensors":
        raise ModelError(f"LoRA {found[0]} is no safetensors file; pickles are not loaded.")
    return found[0]
