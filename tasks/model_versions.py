"""The models that were trained: register one, find one by the name a person gives it.

    resolve_model(lake, home(), "latest").folder

Free of Prefect and torch, so the command line can ask.  Left out: what made the model (the flows),
and what moves the alias `champion` (`tasks.promoting`).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.train.policy import student_hash
from models.weights import resolve
from schemas.errors import ModelError
from schemas.training import StudentSettings
from tasks.plan import one_row
from warehouse import Warehouse

_ROWS = "FROM model_versions ORDER BY trained_at DESC, model_id"
_CHAMPION = """
SELECT model_id FROM aliases WHERE alias = 'champion' ORDER BY moved_at DESC LIMIT 1
"""
_KINDS = (
    '"champion", "latest", "base", the first digits of a model id, or the folder of a checkpoint'
)


@dataclass(frozen=True)
class ModelVersion:
    """A model that can be loaded; what was not trained here has method "base" and no dataset."""

    model_id: str  # of a folder that was not trained here: the hash of its files
    folder: Path
    method: str
    base: str
    base_hash: str
    parent_model_id: str | None = None
    dataset_version: int | None = None
    snapshot_id: int | None = None
    seed: int | None = None
    status: str = "ok"
    metrics: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None

    def as_result(self, *more: str) -> dict[str, Any]:
        """What a training returns where this model is there already; `more` names fields."""
        found = {"model_id": self.model_id, "folder": str(self.folder), "metrics": self.metrics}
        return found | {name: getattr(self, name) for name in more} | {"new": False}


def resolve_model(
    lake: Warehouse, home: Path, name: str, student: StudentSettings | None = None
) -> ModelVersion:
    """The model that `name` means: "champion" (where the alias points), "latest", "base" (of
    `student`), an id's prefix, or a folder.

    Raises ModelError that lists what there is, or says that a registered folder is gone.
    """
    if name == "base":
        return of_folder((student or StudentSettings()).base)
    rows = lake.query(_ROWS).to_pylist()
    if name == "champion":
        moved = lake.query(_CHAMPION).column(0).to_pylist()
        if not moved:
            raise ModelError("No model is champion yet: `diffchat promote MODEL` makes one.")
        name = moved[0]
    if name == "latest":
        sound = [row for row in rows if row["status"] == "ok"]
        if not sound:
            raise ModelError("No model is trained yet: run `diffchat sft`.")
        return _version(sound[0], home)
    found = [row for row in rows if name and row["model_id"].startswith(name)]
    if len(found) == 1:
        return _version(found[0], home)
    folder = Path(name).expanduser().resolve()
    if not found and folder.is_dir():
        ours = [row for row in rows if (home / row["folder"]).resolve() == folder]
        return _version(ours[0], home) if ours else of_folder(name)
    known = "\n".join(f"  {_line(row)}" for row in found or rows) or "  none yet (`diffchat sft`)"
    said = f"{len(found)} models begin with {name!r}" if found else f"There is no model {name!r}"
    raise ModelError(f"{said}; give {_KINDS}. Trained so far:\n{known}")


def find_model(lake: Warehouse, home: Path, model_id: str) -> ModelVersion | None:
    """The registered model of exactly this id, or None; ModelError if its folder is gone."""
    rows = lake.query("FROM model_versions WHERE model_id = $1", [model_id]).to_pylist()
    return _version(rows[0], home) if rows else None


def register_model(lake: Warehouse, **columns: Any) -> bool:
    """Commit a row of `model_versions`; False if the model id is there already.

    `settings` and `metrics` are mappings, `folder` is relative to the home.
    """
    for name in ("settings", "metrics"):
        columns[name] = json.dumps(columns[name], sort_keys=True)
    return bool(lake.append("model_versions", one_row("model_versions", **columns)))


def of_folder(name: str) -> ModelVersion:
    """A checkpoint by folder or hub id.  Raises ModelError if it is no whole model."""
    folder = resolve(name)
    digest = student_hash(folder)
    return ModelVersion(digest, folder, "base", name, digest)


def _version(row: dict[str, Any], home: Path) -> ModelVersion:
    folder = home / row["folder"]
    if not folder.is_dir():
        raise ModelError(
            f"The folder of model {row['model_id'][:12]} is gone: {folder}. Restore it, or train "
            "the model again (its id is its content: a new home makes the same one)."
        )
    taken = ("model_id", "method", "base", "base_hash", "parent_model_id", "dataset_version")
    return ModelVersion(
        **{name: row[name] for name in (*taken, "snapshot_id", "seed", "status")},
        folder=folder,
        metrics=json.loads(row["metrics"] or "{}"),
        settings=json.loads(row["settings"] or "{}"),
    )


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['model_id'][:12]}  {row['method']}, dataset version {row['dataset_version']}, "
        f"seed {row['seed']}, {row['trained_at']:%Y-%m-%d %H:%M}, {row['status']}"
    )
