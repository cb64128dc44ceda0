"""Flows in this process: what a command runs when no worker is to do it."""

import logging
import os
from importlib import import_module
from typing import Any

from app.console import note, progress_bars
from schemas.settings import home


def run_flow(name: str, *arguments: Any, bars: bool) -> dict[str, Any]:
    """Run the flow `flows.<name>` with `arguments` here; returns its result.

    Uses the Prefect server of `diffchat up` if there is one, else a temporary one of its own.
    Raises DiffChatError for anything that a person has to mend first.
    """
    from app.prefect_stack import in_process_environment

    os.environ.update(in_process_environment(home(), lambda: _imports(name)))
    # On a busy machine its last events take seconds; it says so under a name of its own.
    logging.getLogger("EventsWorker").setLevel(logging.ERROR)
    note("starting the flow (the first seconds are Prefect's) …")
    flow = getattr(import_module(f"flows.{name}"), name)
    with progress_bars(bars):
        return flow(*arguments)


def _imports(name: str) -> None:
    """What the flow imports sooner or later, while there is nothing to do but to wait."""
    import_module(f"flows.{name}")
    if name in ("build_instructpe", "retrain"):  # those that publish, and so audit
        import_module("tasks.audit").import_great_expectations()
