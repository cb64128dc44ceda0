"""A disk that refuses what a training writes: by which errors it is known, and what is said of it.

Free of torch.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

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
