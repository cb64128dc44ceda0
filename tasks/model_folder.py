"""The folder of a model while it is trained: one process in it, work beside the finished files.

`models/<model_id>/` below the home holds the finished checkpoint with its card; `checkpoints/` in
it is work in progress, and goes when the model is registered.  Free of Prefect and torch.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.train.disk import writing
from models.weights import write_sums
from schemas.errors import TrainingError

WORK = "checkpoints"


@contextmanager
def alone(folder: Path, needed: bool = True) -> Iterator[None]:
    """No second process in a model's folder; the kernel lets go when its holder dies."""
    if not needed:
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"Another process is training this model in {folder}: wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(handle)


def place(trained: Path, folder: Path) -> None:
    """Copy the files of a finished checkpoint to where they stay, with their checksums.

    Raises TrainingError if the disk refuses them.
    """
    with writing(folder):
        write_sums(trained)
        for path in trained.iterdir():
            shutil.copyfile(path, folder / path.name)
