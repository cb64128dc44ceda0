"""Checkpoints of a PPO run: the policy as safetensors, the rest as tensors and plain values.

`folder/step-000040/` holds `policy.safetensors` and `training.pt`; `folder/last` names the newest
one and is replaced last, so that a kill at any moment leaves a whole checkpoint.  Older ones but
one are removed.  `training.pt` is read with `weights_only=True`: it can hold no code.

Leaves out random states: everything random is a function of seed and step (`rl`).
"""

import logging
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from models.train.disk import REFUSALS
from schemas.errors import TrainingError

if TYPE_CHECKING:
    from models.train.rl import State

KEPT = 2  # checkpoints: the newest, and the one before in case the disk loses it
LAST = "last"
DAMAGES = (OSError, RuntimeError, KeyError, EOFError, SafetensorError, pickle.PickleError)

LOG = logging.getLogger(__name__)


def save_training(folder: Path, model: Any, state: "State", scales: tuple[float, float]) -> Path:
    """Write a checkpoint of `state.step`; raises TrainingError if the disk refuses it."""
    from safetensors.torch import save_model

    name = f"step-{state.step:06d}"
    draft, final = folder / f"{name}.draft", folder / name
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_model(model, str(draft / "policy.safetensors"))
        torch.save(_contents(state, scales), draft / "training.pt")
        shutil.rmtree(final, ignore_errors=True)
        draft.replace(final)
        pointer = folder / f"{LAST}.draft"
        pointer.write_text(name)
        pointer.replace(folder / LAST)
    except REFUSALS as error:
        shutil.rmtree(draft, ignore_errors=True)
        raise TrainingError(
            f"The checkpoint of step {state.step} cannot be written to {folder}: {error}. Free "
            "some space and run the same command again: it goes on from the checkpoint before."
        ) from error
    for old in sorted(folder.glob("step-??????"))[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def load_training(folder: Path, model: Any, state: "State") -> tuple[float, float] | None:
    """Load the newest checkpoint into model and state; returns σ, or None if there is none.

    A damaged one is passed over for the one before; raises TrainingError if none is whole.
    """
    pointer = folder / LAST
    if not pointer.exists():
        return None
    newest = pointer.read_text().strip()
    names = sorted((path.name for path in folder.glob("step-??????")), reverse=True)
    said = ""
    for name in [newest, *(name for name in names if name < newest)]:
        try:
            saved = _load(folder / name, model, state)
        except DAMAGES as error:
            why = str(error).partition("\n")[0].partition(". ")[0]  # torch goes on with bad advice
            LOG.warning("%s is damaged (%s): the one before is read.", folder / name, why)
            said = said or f"{folder / name} is damaged ({why})"
            continue
        state.step, state.beta = saved["step"], saved["beta"]
        state.value_updates, state.history = saved["value_updates"], saved["history"]
        return tuple(saved["scales"])
    raise TrainingError(
        f"The checkpoint {said}, and no older one is whole: remove {folder} to begin anew."
    )


def _load(checkpoint: Path, model: Any, state: "State") -> dict[str, Any]:
    from safetensors.torch import load_model

    load_model(model, str(checkpoint / "policy.safetensors"))
    saved = torch.load(checkpoint / "training.pt", map_location="cpu", weights_only=True)
    state.value.load_state_dict(saved["value"])
    state.optimiser.load_state_dict(saved["optimiser"])
    return saved


def _contents(state: "State", scales: tuple[float, float]) -> dict[str, Any]:
    return {
        "step": state.step,
        "beta": state.beta,
        "value_updates": state.value_updates,
        "value": state.value.state_dict(),
        "optimiser": state.optimiser.state_dict(),
        "scales": list(scales),
        "history": state.history,
    }
