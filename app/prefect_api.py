"""What `up` and `down` say to a Prefect server: pools, limits, rules, runs that have ended.

By plain HTTP, since importing Prefect takes seconds.  Leaves out the processes
(`app.prefect_stack`).
"""

from collections.abc import Mapping
from typing import Any

import httpx

from schemas.errors import StackError

POOLS = {
    "cpu": "Processes on this machine: teacher, embedded models.",
    "gpu": "Processes on a machine with a GPU: text-to-image models, scorers, training.",
}
TEACHER_LIMIT = "teacher"
HEARTBEAT_S = 30  # Prefect's least; also in prefect.yaml, for workers on other machines
SILENT_S = 180  # a run that was not heard of for so long is taken for dead


def healthy(api: str) -> bool:
    """Whether a server answers at this address."""
    try:
        return httpx.get(f"{api}/health", timeout=5, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def post(api: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
    """The answer; 409 (it is there already) is one, any other error raises StackError."""
    response = httpx.post(f"{api}/{path}", json=dict(body), timeout=60, trust_env=False)
    if response.status_code >= 400 and response.status_code != 409:
        raise StackError(f"Prefect answers {response.status_code} to {path}: {response.text[:500]}")
    return response


def end_unfinished(api: str, why: str) -> None:
    """Runs whose process is gone would stay "Running" for ever; those of other pools live on."""
    unfinished = {"state": {"type": {"any_": ["RUNNING", "PENDING", "CANCELLING"]}}}
    for run in post(api, "flow_runs/filter", {"flow_runs": unfinished}).json():
        if run["work_pool_name"] in ("cpu", None):
            said = f"{why}; another run goes on where it was."
            state = {"type": "CRASHED", "name": "Crashed", "message": said}
            post(api, f"flow_runs/{run['id']}/set_state", {"state": state, "force": True})


def create_pools(api: str) -> None:
    """The work pools that `prefect.yaml` names, where they are not there yet."""
    for name, description in POOLS.items():
        post(api, "work_pools/", {"name": name, "type": "process", "description": description})


def crash_silent_runs(api: str) -> None:
    """Prefect's rule for runs that die with their worker: whoever waits for one would never hear.

    https://docs.prefect.io/v3/advanced/detect-zombie-flows
    """
    name = "end runs whose machine is gone"
    if post(api, "automations/filter", {"automations": {"name": {"any_": [name]}}}).json():
        return
    signs = ("heartbeat", "Completed", "Failed", "Cancelled", "Crashed")
    said = f"Nothing was heard of this run for {SILENT_S} s: its worker or its machine is gone."
    post(api, "automations/", {
        "name": name,
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": {"prefect.resource.id": "prefect.flow-run.*"},
            "for_each": ["prefect.resource.id"],
            "after": ["prefect.flow-run.heartbeat"],
            "expect": [f"prefect.flow-run.{sign}" for sign in signs],
            "threshold": 1,
            "within": SILENT_S,
        },
        "actions": [{"type": "change-flow-run-state", "state": "CRASHED", "message": said}],
    })  # fmt: skip


def set_limit(api: str, name: str, slots: int) -> None:
    """A global concurrency limit of so many slots, made or changed."""
    body = {"name": name, "limit": slots, "active": True}
    if post(api, "v2/concurrency_limits/", body).status_code == 409:
        address = f"{api}/v2/concurrency_limits/{name}"
        httpx.patch(address, json={"limit": slots}, timeout=60, trust_env=False).raise_for_status()
