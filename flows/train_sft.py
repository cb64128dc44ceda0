"""`train-sft`: from a published version of the dataset to a registered student.

    prefect deployment run train-sft/embedded        (after `make up`)
    diffchat sft --profile embedded                  (the same, in this process)

Order and parameters only.  A training that was killed goes on from its last checkpoint, and one
whose model is there already does nothing.
"""

from typing import Any

from prefect import flow

from tasks.opening import resolve
from tasks.training import train_student


@flow(name="train-sft", persist_result=False)
def train_sft(profile: str = "embedded", overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Train, measure and register; returns model_id, folder, metrics and whether it is new.

    Args:
        profile: a name in `profiles/`, or the path of a TOML file.
        overrides: dotted settings, such as {"sft.epochs": 2}.
    """
    return train_student(resolve(profile, overrides, False))
