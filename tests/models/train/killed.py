"""A training of the toy that is killed while it writes the checkpoint of step 4, for `test_rl`."""

import os
import signal
import sys
from pathlib import Path

import safetensors.torch

from tests.models.train.test_rl import SMALL, run


def main() -> None:
    """Train in the folder named on the command line; does not return."""
    save, saves = safetensors.torch.save_model, []

    def dying(model, path):
        save(model, path)
        saves.append(path)
        if len(saves) == 3:  # of the start, of step 2, of step 4
            os.kill(os.getpid(), signal.SIGKILL)

    safetensors.torch.save_model = dying
    run(Path(sys.argv[1]), **SMALL)


if __name__ == "__main__":
    main()
