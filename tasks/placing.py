"""Place a training on a worker of the pool `gpu` where one is up; else nothing happens here.

A training is wanted − have: the model that a worker trained is found by its id, and nothing else
comes back.  So the worker needs the same warehouse and the same `$DIFFCHAT_HOME/models`, on a
shared file system where it is another machine (docs/training.md).  A training with nothing to do
is placed nowhere.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, WorkPoolStatus
from prefect.context import FlowRunContext
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound

from schemas.errors import TrainingError
from tasks import rl, sft
from tasks.plan import Run, lake_of

POOL = "gpu"
DEPLOYMENT = "on-gpu"  # of each training's flow, in prefect.yaml; the profile is a parameter


def place_sft(run: Run, parameters: dict[str, Any]) -> bool:
    """Run `train-sft` on the pool and wait; False if it is trained already or no worker is up.

    Call it in a flow.  Raises TrainingError if the run there did not complete.
    """
    lake, home = lake_of(run), Path(run.home)
    return _place(
        "train-sft",
        parameters,
        lambda: sft.finished(lake, home, sft.sft_plan(lake, run.settings)) is None,
    )


def place_rl(run: Run, parameters: dict[str, Any]) -> bool:
    """The same of `train-rl`, from the model `parameters["parent"]`."""
    lake, home = lake_of(run), Path(run.home)
    parent = parameters["parent"]
    return _place(
        "train-rl",
        parameters,
        lambda: rl.finished(lake, home, rl.rl_plan(lake, home, run.settings, parent)) is None,
    )


def _place(flow: str, parameters: dict[str, Any], missing: Callable[[], bool]) -> bool:
    name = f"{flow}/{DEPLOYMENT}"
    if not missing() or not _is_up(name):
        return False
    placed = cast(FlowRun, run_deployment(name, parameters=parameters))  # sync: no coroutine
    state = placed.state
    if state is None or not state.is_completed():
        said = f"{state.name}: {state.message}" if state else "no state"
        raise TrainingError(
            f"The run {placed.name!r} of {name} on the pool {POOL!r} did not complete ({said}). "
            "See its log on the Prefect page; started again, it goes on from its last checkpoint."
        )
    if missing():
        raise TrainingError(
            f"The run {placed.name!r} on the pool {POOL!r} trained another model than the one "
            "wanted here. Its worker needs the same warehouse, $DIFFCHAT_HOME and DIFFCHAT_* "
            "variables as this one."
        )
    return True


def _is_up(name: str) -> bool:
    """Whether the deployment is there and its pool has a worker, other than the one we are on."""
    ours = FlowRunContext.get()
    if ours and ours.flow_run and ours.flow_run.work_pool_name == POOL:
        return False  # here is a GPU already, and a worker with one slot would wait for itself
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(name)
            return client.read_work_pool(POOL).status == WorkPoolStatus.READY
        except ObjectNotFound:
            return False
