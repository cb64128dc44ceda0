"""What each process of `accelerate launch` runs in `test_rl_processes`: two steps of the toy."""

import json
import sys
from pathlib import Path

import torch

from models.train.distributed import accelerator, end, gathered
from models.train.rl import Sinks, train_ppo
from tests.models.train import toy


def main(folder: Path) -> None:
    """Train, then write this process's terms and the sum of its weights to `rank-N.json`."""
    torch.set_num_threads(1)
    policy, seen = toy.policy(0), {}  # first, as in a training: see `models.train.distributed.end`
    here = accelerator()
    rank = here.process_index
    settings = toy.settings(
        steps=3, prompts=2, samples=4, minibatch=4, checkpoint_every=1, value_warmup_updates=0,
    )  # fmt: skip
    ended = train_ppo(
        policy, toy.questions(), toy.reward(), settings, folder / "run",
        Sinks(seen.__setitem__, lambda *found: None),
        max_new_tokens=toy.STEPS_OF_TASK, accelerator=here,
    )  # fmt: skip
    found = {
        "status": ended.status,
        "weights": sum(float(p.detach().double().sum()) for p in policy.model.parameters()),
        "rewards": [seen[step]["reward"] for step in sorted(seen)],
        "beta": seen[3]["kl_coefficient"],
        "together": gathered([rank] * (1 + rank)),
    }
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))
    end()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
