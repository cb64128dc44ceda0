"""`train-rl`: a student learns from the pictures of what it writes.

    prefect deployment run train-rl/embedded               (after `make up`)
    diffchat rl                                            (the same, in this process)

Order and parameters only; the method is in `models.train.rl`.
"""

from typing import Any

from prefect import flow

from tasks.opening import open_build, resolve
from tasks.training import reinforce


@flow(name="train-rl", persist_result=False)
def train_rl(
    profile: str = "embedded", overrides: dict[str, Any] | None = None, parent: str = "latest"
) -> dict[str, Any]:
    """Train from `parent` ("latest", "base", "champion", a model id or a folder) by `[rl]`.

    Args:
        profile: a name in `profiles/`, or the path of a TOML file.
        overrides: dotted settings, such as {"rl.steps": 100}.
        parent: the model to begin from.
    """
    run = resolve(profile, overrides, False)
    open_build(run)
    return reinforce(run, parent)
