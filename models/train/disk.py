"""A disk that refuses what a training writes: by which errors it is known, and what is said of it.

Free of torch.
"""

import errno
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from schemas.errors import TrainingError

# safetensors' own error is neither an OSError nor a RuntimeError; torch says a RuntimeError.
REFUSALS = (OSError, RuntimeError, SafetensorError)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """A disk that refuses the finished model is a TrainingError that says what to do."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"The trained model cannot be written to {folder}: {error}. Free some space and run "
            "the same command again: its last checkpoint is kept."
        ) from error


@contextmanager
def checkpointing(folder: Path, newest: Callable[[], Path | None]) -> Iterator[None]:
    """A disk that is full while `transformers` trains is a TrainingError that names the checkpoint
    that is kept, as `newest` finds it (`checkpoint-N`); any other error stays what it is."""
    try:
        yield
    except REFUSALS as error:
        whole = newest()
        if not _says_full(error, folder):
            raise
        kept = f"the one of step {whole.name.rpartition('-')[2]} is kept" if whole else "none yet"
        raise TrainingError(
            f"The disk of {folder} is full, so a checkpoint could not be written ({kept}): "
            "free some space and run the same command again; it goes on from there."
        ) from error


def readable(checkpoint: Path) -> bool:
    """Whether the files of a checkpoint of `transformers` are whole: their heads, ends and sizes,
    not every byte.  Loads no weights."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        for path in checkpoint.glob("*.safetensors"):
            with safe_open(path, framework="np"):
                pass
    except (OSError, ValueError, SafetensorError):
        return False
    return all(zipfile.is_zipfile(path) for path in checkpoint.glob("*.pt"))


def _says_full(error: Exception, folder: Path) -> bool:
    said = str(error).lower()
    return (
        getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        or "no space left" in said
        or ("enforce fail" in said and "inline_container" in said)  # torch.save, cut short
        or shutil.disk_usage(folder).free < 1 << 16
    )
