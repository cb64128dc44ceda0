"""Command line of the embedded trainings: `python -m models.embedded STEP [--steps N]`.

Every step is resumable: a killed run goes on from its last checkpoint, a finished one exports its
weights again.  Expected times on two cores without a GPU are in `docs/embedded.md`.
"""

import argparse
import importlib
import inspect
import os

# Step: the module whose `train` does it, in the order in which they depend on each other.
STEPS = {
    "vae": "models.embedded.autoencoder",
    "sd": "models.embedded.diffusion",
    "adherence": "models.embedded.adherence",
    "sdxl": "models.embedded.transfer",
    "ip2p": "models.embedded.editing",
    "lm": "models.embedded.language",
    "clip": "models.embedded.clip",
    "aesthetic": "models.embedded.aesthetic",
    "preference": "models.embedded.preference",
    "heldout": "models.embedded.heldout",
}


def main() -> None:
    """Run one step, with `$DIFFCHAT_THREADS` threads (default: all cores)."""
    parser = argparse.ArgumentParser(prog="python -m models.embedded", description=__doc__)
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("--steps", type=int, help="optimiser steps in all (default: the recipe's)")
    parser.add_argument(
        "--warm", action="store_true", help="start from the shipped weights, not from nothing"
    )
    arguments = parser.parse_args()
    if "DIFFCHAT_THREADS" in os.environ:
        import torch

        torch.set_num_threads(int(os.environ["DIFFCHAT_THREADS"]))
    train = importlib.import_module(STEPS[arguments.step]).train
    if arguments.warm and "warm" not in inspect.signature(train).parameters:
        parser.error(f"{arguments.step} does not ship, so it cannot start warm: leave out --warm")
    options = {"steps": arguments.steps, "warm": arguments.warm or None}
    print(train(**{name: value for name, value in options.items() if value is not None}))


if __name__ == "__main__":
    main()
