"""Where the time of a PPO step goes, and samples a second beside `trl`'s RLOO.

    python -m benchmarks.rl_step [--parent latest] [--steps 6]

Both train the same model on the same questions with the same reward, 32 answers a step, one inner
epoch, no ADM, in turns in one process; pictures that one has rendered are forgotten between the
turns, so neither profits from the other's cache.  Times are ratios within one run.
"""

import argparse
import resource
import shutil
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Print a table of the parts of a step and the ratio to RLOO."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", default="latest")
    parser.add_argument("--steps", type=int, default=6)
    arguments = parser.parse_args()
    from schemas.settings import home

    with tempfile.TemporaryDirectory() as scratch:
        for part in ("warehouse", "images"):  # a copy each, so that caches are equal
            for turn in ("ppo", "rloo"):
                shutil.copytree(home() / part, Path(scratch) / turn / part)
        ppo = timed(Path(scratch) / "ppo", arguments, "ppo")
        rloo = timed(Path(scratch) / "rloo", arguments, "rloo")
    seconds, parts = ppo
    whole = sum(parts.values())
    print("| part of a PPO step | share |\n| --- | --- |")
    for name, spent in sorted(parts.items(), key=lambda item: -item[1]):
        print(f"| {name} | {spent / whole:.1%} |")
    print(f"\nsamples a second: PPO {32 * arguments.steps / seconds:.2f}, "
          f"RLOO {32 * arguments.steps / rloo[0]:.2f}, ratio {rloo[0] / seconds:.2f}")  # fmt: skip
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def timed(
    scratch: Path, arguments: argparse.Namespace, method: str
) -> tuple[float, dict[str, float]]:
    """(seconds, seconds by part) of `steps` steps, loading and calibration not counted."""
    from schemas.settings import home, load_settings
    from tasks.model_versions import resolve_model
    from tasks.plan import new_run
    from tasks.training import reinforce
    from warehouse import Warehouse

    settings = load_settings("embedded")
    with Warehouse.open(settings.warehouse, home(), read_only=True) as lake:
        parent = resolve_model(lake, home(), arguments.parent, settings.student).folder
    changes = {
        "rl.method": method, "rl.steps": arguments.steps + 1, "rl.epochs": 1,
        "rl.adm.positive_share": 0.0, "rl.adm.negative_share": 0.0, "rl.value_warmup_updates": 0,
        "rl.minibatch": 32, "rl.checkpoint_every": 10_000, "rl.samples_every": 10_000,
        "rl.seed": int(time.time()),  # a model that was trained before would take no time
    }  # fmt: skip
    marks: list[float] = []
    parts: dict[str, float] = {}
    from tasks.training_log import Report

    original = Report.__call__

    def mark(self: object, step: int, terms: dict[str, float]) -> None:
        marks.append(time.perf_counter())
        if len(marks) > 1:
            for name, spent in terms.items():
                if name.startswith("seconds_"):
                    parts[name.removeprefix("seconds_")] = (
                        parts.get(name.removeprefix("seconds_"), 0) + spent
                    )
        original(self, step, terms)  # pyright: ignore[reportArgumentType]

    Report.__call__ = mark
    try:
        reinforce.fn(new_run(load_settings("embedded", changes), scratch), str(parent))
    finally:
        Report.__call__ = original
    return marks[-1] - marks[0], parts


if __name__ == "__main__":
    main()
