"""`transformers` checkpoints and files of tensors: complete or refused, no code run."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.device import move
from models.weights import sha256, weight_files
from schemas.errors import ModelError


def load_model(
    folder: Path, dtype: Any, device: str, kind: Any = None, variant: str | None = None
) -> Any:
    """The checkpoint's model (`kind` or the one its config names), in eval mode on `device`.

    Where a tensor is missing, `from_pretrained` makes random ones up and warns; this raises
    ModelError naming the file and its hash if it cannot be read or lacks weights.
    """
    import transformers

    kind = kind or transformers.AutoModel
    try:
        with quiet():
            model, report = kind.from_pretrained(
                folder,
                dtype=dtype,
                variant=variant,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except Exception as error:
        raise ModelError(explain(folder, error)) from error
    missing = sorted(report["missing_keys"]) + [str(k) for k in report.get("mismatched_keys", ())]
    if missing:
        raise ModelError(
            f"{_weights(folder)} lacks {len(missing)} of the weights of {type(model).__name__}, "
            f"among them {', '.join(missing[:3])}: it is not complete, or of another model."
        )
    return move(model, device, str(folder)).eval().requires_grad_(False)


def load_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer.  Raises ModelError if it has none."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"{folder} has no readable tokenizer: {_first_line(error)}") from error


def load_state(path: Path) -> dict[str, Any]:
    """Tensors of a published file: safetensors, or a pickle read with `weights_only=True`.

    Raises ModelError naming the file and its hash if it is broken or holds code.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except Exception as error:
        raise ModelError(
            f"{path} (SHA-256 {sha256(path)}) is not readable as a file of plain tensors: "
            f"{_first_line(error)}"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]  # as open_clip's training script writes it
    if not isinstance(state, dict) or not all(hasattr(v, "shape") for v in state.values()):
        raise ModelError(f"{path} holds no flat dictionary of tensors.")
    return {name.removeprefix("module."): value for name, value in state.items()}


def fill(module: Any, state: dict[str, Any], path: Path) -> Any:
    """`module.load_state_dict(state)`, ModelError naming what is missing, too much or misshapen."""
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        said = " ".join(str(error).split())[:400]
        raise ModelError(
            f"{path} (SHA-256 {sha256(path)}) has another layout than "
            f"{type(module).__name__}: {said}"
        ) from error
    return module


def explain(folder: Path, error: Exception) -> str:
    return f"{_weights(folder)} cannot be loaded: {type(error).__name__}: {_first_line(error)}"


def _weights(folder: Path) -> str:
    return ", ".join(f"{p} (SHA-256 {sha256(p)})" for p in weight_files(folder))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """No loading bars between ours, and no reports that say less than our errors do."""
    from transformers.utils import logging as of_transformers

    libraries = [of_transformers]
    if "diffusers" in sys.modules:
        from diffusers.utils import logging as of_diffusers

        libraries.append(of_diffusers)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.disable_progress_bar()
        library.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
