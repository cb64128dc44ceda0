"""Where the time of a PPO step goes, and samples a second beside `trl`'s RLOO.

    python -m benchmarks.rl_step [--parent latest] [--steps 6] [--turns 3] [--set KEY=VALUE ...]

Method: both train the same model on the same questions with the same reward, 32 answers a step, one
inner epoch, no ADM, `turns` times each in one process, now this one first and now that one.  Every
turn has a copy of the warehouse, so neither profits from what the other rendered, and the first
step of each is not counted.  Shares are means over PPO's turns, the ratio is the median over turns
and the peak the whole process's.  Times are ratios within one run.

There must be a dataset and a model to start from: `diffchat demo --small` makes both in minutes.
`--set` and `--profile` are those of `diffchat rl`; real-size models are made by
`benchmarks.real_size`.  Leaves out several processes.
"""

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from unittest import mock

ANSWERS = 32  # a step


def main() -> None:
    """Print a table of the parts of a step and the ratio to RLOO."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", default="latest")
    parser.add_argument("--profile", default="embedded")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], dest="changes", metavar="KEY=VALUE")
    arguments = parser.parse_args()
    parts: Counter[str] = Counter()
    speeds: dict[str, list[float]] = {"ppo": [], "rloo": []}
    for turn in range(arguments.turns):
        for method in ("ppo", "rloo") if turn % 2 == 0 else ("rloo", "ppo"):
            seconds, its = timed(arguments, method, turn)
            speeds[method].append(ANSWERS * arguments.steps / seconds)
            parts.update(its)
    whole = sum(parts.values())
    print("| part of a PPO step | share |\n| --- | --- |")
    for name, spent in parts.most_common():
        print(f"| {name} | {spent / whole:.1%} |")
    print()
    for method, found in speeds.items():
        print(f"{method}: {statistics.median(found):.2f} samples a second {_list(found)}")
    ratios = [ours / theirs for ours, theirs in zip(speeds["ppo"], speeds["rloo"], strict=True)]
    print(f"PPO to RLOO: {statistics.median(ratios):.2f} {_list(ratios)}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB{_gpu()}")


def timed(arguments: argparse.Namespace, method: str, turn: int) -> tuple[float, dict[str, float]]:
    """(seconds, seconds by part) of `steps` steps, loading and calibration not counted."""
    from app.commands.options import changes_of
    from schemas.settings import home, load_settings
    from tasks.model_versions import resolve_model
    from tasks.plan import new_run
    from tasks.training import reinforce
    from tasks.training_log import Report
    from warehouse import Warehouse

    ours = {
        "rl.method": method, "rl.steps": arguments.steps + 1, "rl.epochs": 1,
        "rl.prompts": 8, "rl.samples": ANSWERS // 8, "rl.minibatch": ANSWERS,
        "rl.adm.positive_share": 0.0, "rl.adm.negative_share": 0.0, "rl.value_warmup_updates": 0,
        "rl.checkpoint_every": 10_000, "rl.samples_every": 10_000, "rl.seed": turn,
        "rl.kl_limit": 1e9, "rl.entropy_floor": 0.0,  # random weights must not end it
    }  # fmt: skip
    settings = load_settings(arguments.profile, changes_of(arguments.changes, ours))
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        parent = resolve_model(lake, home(), arguments.parent, settings.student).folder
    steps: list[tuple[float, dict[str, float]]] = []  # when each was reported, and its terms
    original = Report.__call__

    def report(self: Report, step: int, terms: dict[str, float]) -> None:
        steps.append((time.perf_counter(), terms))
        original(self, step, terms)

    with tempfile.TemporaryDirectory() as scratch:
        shutil.copytree(home() / "warehouse", Path(scratch) / "warehouse")
        if (home() / "images").exists():
            shutil.copytree(home() / "images", Path(scratch) / "images", copy_function=os.link)
        with mock.patch.object(Report, "__call__", report):
            reinforce.fn(new_run(settings, Path(scratch)), str(parent))
    return steps[-1][0] - steps[0][0], _parts([terms for _, terms in steps[1:]])


def _parts(steps: list[dict[str, float]]) -> dict[str, float]:
    """Seconds of all steps by part; none of a trainer that does not tell them apart."""
    parts: Counter[str] = Counter()
    for terms in steps:
        parts.update(
            {
                name.removeprefix("seconds_"): spent
                for name, spent in terms.items()
                if name.startswith("seconds_")
            }
        )
    return dict(parts)


def _list(numbers: list[float]) -> str:
    return "(" + ", ".join(f"{number:.2f}" for number in numbers) + ")"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return ""
    return f", on the GPU {torch.cuda.max_memory_allocated() / 1e9:.2f} GB"


if __name__ == "__main__":
    main()
