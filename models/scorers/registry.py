"""The scorers by name: identity without torch, and how each is loaded."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models.scorers.base import Scorer, ScorerIdentity
from models.weights import (
    HUB_PATTERNS,
    PROJECT,
    combine,
    config_files,
    hash_files,
    resolve,
    resolve_file,
    verify,
    weight_files,
)
from schemas.errors import ModelError, SettingsError
from schemas.identity import content_id, scorer_id
from schemas.settings import ScorerSettings


class Checkpoint(NamedTuple):
    """Files that a scorer is made of: a `transformers` folder and, for some, one file more."""

    folder: Path | None
    head: Path | None
    weights_hash: str

    def verify(self) -> None:
        """Compare with the folders' SHA256SUMS; raises ModelError naming a corrupt file."""
        if self.folder:
            verify(self.folder, self.folder.iterdir())
        if self.head:
            verify(self.head.parent, [self.head])


class Kind(NamedTuple):
    """A registered scorer.  `loads` is "module:class", imported only to load it."""

    loads: str
    reads_intent: bool
    revision: int
    find: Callable[[ScorerSettings], Checkpoint]


def model_files(folder: Path) -> list[Path]:
    """Config, vocabulary, weights of a `transformers` folder.  Raises ModelError if it is none."""
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder} is no transformers checkpoint: it has no config.json.")
    weights = weight_files(folder)
    if not weights:
        raise ModelError(f"{folder} holds no weights (*.safetensors): download or train it again.")
    return config_files(folder) + weights


def in_folder(settings: ScorerSettings) -> Checkpoint:
    """A model in the `transformers` layout, nothing beside it."""
    folder = _folder(settings)
    return Checkpoint(folder, None, hash_files(folder, model_files(folder)))


def in_folder_with_head(settings: ScorerSettings) -> Checkpoint:
    """A `transformers` folder and a head: `head`, a file or folder, or `head.safetensors` in it."""
    folder = _folder(settings)
    if settings.head is None and not (folder / "head.safetensors").is_file():
        raise SettingsError(
            f"Scorer {settings.name} needs a head beside {folder}: set `head` to the path of the "
            "published .pth or of a .safetensors file, or put head.safetensors in the folder."
        )
    head = _head(settings.head) if settings.head else folder / "head.safetensors"
    body = [p for p in model_files(folder) if p != head]
    return Checkpoint(
        folder, head, combine(hash_files(folder, body), hash_files(head.parent, [head]))
    )


def _head(name: str) -> Path:
    """The file `name`, or head.safetensors in the folder `name`."""
    for folder in (Path(name).expanduser(), PROJECT / name):
        if folder.is_dir():
            return resolve_file(str(folder / "head.safetensors"))
    return resolve_file(name)


def in_published_file(settings: ScorerSettings) -> Checkpoint:
    """A published scorer file (`head`) with tokenizer and config from a folder (`model`)."""
    if settings.head is None:
        raise SettingsError(
            f"Scorer {settings.name} needs `head`: the path of its published checkpoint file; "
            "docs/models.md says where it comes from."
        )
    folder, head = _folder(settings, weights=False), resolve_file(settings.head)
    hashes = hash_files(folder, config_files(folder)), hash_files(head.parent, [head])
    return Checkpoint(folder, head, combine(*hashes))


def at_endpoint(settings: ScorerSettings) -> Checkpoint:
    """A model behind an HTTP endpoint: its name is all that is known of its weights."""
    return Checkpoint(None, None, content_id("endpoint", settings.model))


def _folder(settings: ScorerSettings, *, weights: bool = True) -> Path:
    folder = resolve(settings.model, HUB_PATTERNS if weights else ("*.json", "*.txt"))
    if not folder.is_dir():
        raise ModelError(f"Scorer {settings.name}: {folder} is a file, a folder is needed.")
    return folder


SCORERS = {
    "laion_aesthetics": Kind("models.scorers.laion:LaionAesthetics", False, 1, in_folder_with_head),
    "pickscore": Kind("models.scorers.contrastive:PickScore", True, 1, in_folder),
    "clip_score": Kind("models.scorers.contrastive:ClipScore", True, 1, in_folder),
    "hpsv2": Kind("models.scorers.hpsv2:Hpsv2", True, 1, in_published_file),
    "image_reward": Kind("models.scorers.image_reward:ImageReward", True, 1, in_published_file),
    "vqa_score": Kind("models.scorers.vqa:VqaScore", True, 1, in_folder),
    "vlm_judge": Kind("models.scorers.judge:VlmJudge", True, 1, at_endpoint),
}


def describe_scorer(settings: ScorerSettings) -> ScorerIdentity:
    """Identity of the scorer that `settings` name, without torch.

    Raises SettingsError for an unknown name, ModelError for missing weights or for others than
    `weight_hash` asks for.
    """
    kind = _kind(settings)
    return _identity(settings, kind, kind.find(settings))


def load_scorer(settings: ScorerSettings) -> Scorer:
    """Load the scorer that `settings` name.  Errors as of `describe_scorer`; ModelError also for
    corrupt weights or a checkpoint of another architecture."""
    kind = _kind(settings)
    checkpoint = kind.find(settings)
    identity = _identity(settings, kind, checkpoint)
    checkpoint.verify()
    module, _, name = kind.loads.partition(":")
    return getattr(importlib.import_module(module), name)(settings, identity, checkpoint)


def _kind(settings: ScorerSettings) -> Kind:
    if settings.name not in SCORERS:
        raise SettingsError(
            f"There is no scorer {settings.name!r}. Known: {', '.join(sorted(SCORERS))}."
        )
    return SCORERS[settings.name]


def _identity(settings: ScorerSettings, kind: Kind, checkpoint: Checkpoint) -> ScorerIdentity:
    found = checkpoint.weights_hash
    if settings.weight_hash and settings.weight_hash != found:
        raise ModelError(
            f"Scorer {settings.name}: the weights in {settings.model} hash to {found}, the "
            f"profile asks for {settings.weight_hash}. Take those, or correct `weight_hash`."
        )
    return ScorerIdentity(
        scorer_id=scorer_id(settings.name, found, kind.revision),
        weights_hash=found,
        revision=kind.revision,
        reads_intent=kind.reads_intent,
        name=settings.name,
        measures=settings.measures,
    )
