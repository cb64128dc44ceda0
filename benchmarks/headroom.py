"""How much room the world's taste leaves for reinforcement learning, on drawn scenes.

For 200 scenes every set of finish words is rated (2^10 sets, exhaustive), and strategies are
compared by their mean gain over no words: the best set of each scene (oracle), the best constant
suffix, all words, random words as a teacher blind to the scene picks them, and those random words
that a gain > 0 rule accepts (what SFT can learn to sample from).  `--scorer drawn` adds what the
shipped aesthetic predictor sees in drawings, `--scorer renders` what it sees in renders by the
shipped text-to-image model: Spearman within scenes, gain of its own best choice, and noise over
seeds (deviation of the gain over seeds against the oracle's gain, both in the scorer's units).
For `renders`, 24 sets of at most four words for a fifth of the scenes, on two seeds.

    python -m benchmarks.headroom [--scorer drawn renders] [--scenes 200]
"""

import argparse
import itertools
import random
from dataclasses import replace

import numpy as np

from models.world.scene import Scene, sample_scene
from models.world.taste import taste
from models.world.vocabulary import FINISHES

SETS = [
    chosen for size in range(len(FINISHES) + 1) for chosen in itertools.combinations(FINISHES, size)
]
BLIND = {2: 0.25, 3: 0.5, 4: 0.25}  # how many words `models.world.changes.beautify` picks
SEED = 5


def gains_of(scenes: list[Scene]) -> np.ndarray:
    """True gain over no words of every set of words: float64 (scenes, sets)."""
    return np.array(
        [[taste(replace(s, finishes=c)) - taste(s) for c in SETS] for s in scenes], dtype=float
    )


def blind_weights() -> np.ndarray:
    """Probability of each set under a beautifier that does not look at the scene."""
    sizes = np.array([len(chosen) for chosen in SETS])
    weights = np.zeros(len(SETS))
    for size, share in BLIND.items():
        weights[sizes == size] = share / (sizes == size).sum()
    return weights


def strategies(gains: np.ndarray) -> dict[str, float]:
    """Mean gains of the strategies, and shares of the oracle's."""
    oracle = gains.max(1).mean()
    weights = blind_weights()
    accepted = (gains > 0) * weights
    some = accepted.sum(1) > 0  # in a few scenes nothing a blind teacher picks helps
    sft = (accepted * gains).sum(1)[some] / accepted.sum(1)[some]
    return {
        "oracle gain": oracle,
        "words in the oracle's set": float(np.mean([len(SETS[i]) for i in gains.argmax(1)])),
        "different best sets": len(set(gains.argmax(1).tolist())),
        "best constant suffix / oracle": gains.mean(0).max() / oracle,
        "all words, gain": gains[:, -1].mean(),
        "blind words, gain": float((gains @ weights).mean()),
        "blind words accepted (gain > 0)": float(accepted.sum(1).mean()),
        "accepted blind words / oracle": float(sft.mean()) / oracle,
    }


def seen_by_scorer(
    view: str, scenes: list[Scene], per_scene: int = 24, seeds: int = 2
) -> dict[str, float]:
    """Agreement of the shipped aesthetic predictor with taste, on pictures of this view."""
    from benchmarks.embedded_scorers import pictures_of, rank_correlation, scorer

    predictor = scorer("aesthetic")
    generator = random.Random(SEED)
    sets = [[(), *generator.sample(SETS[1:386], per_scene - 1)] for _ in scenes]  # ≤ four words
    dressed = [replace(s, finishes=c) for s, row in zip(scenes, sets, strict=True) for c in row]
    shape = (len(scenes), per_scene)
    values = np.stack(
        [predictor.score(pictures_of([(s, seed) for s in dressed], "classic", view))
         for seed in range(seeds)]
    ).reshape(seeds, *shape)  # fmt: skip
    truth = np.array([taste(s) for s in dressed]).reshape(shape)
    mean, gains = values.mean(0), values - values[:, :, :1]
    chosen = np.take_along_axis(truth, mean.argmax(1)[:, None], 1)[:, 0]
    best = truth.argmax(1)[:, None]
    oracle_seen = np.take_along_axis(gains.mean(0), best, 1).mean()
    rows = {
        "Spearman within a scene, scorer and taste": np.mean(
            [rank_correlation(*row) for row in zip(mean, truth, strict=True)]
        ),
        "deviation of a gain over seeds / oracle gain": gains[:, :, 1:].std(0, ddof=1).mean()
        / oracle_seen,
        "scorer's own choice / oracle": (chosen - truth[:, 0]).mean()
        / (truth.max(1) - truth[:, 0]).mean(),
    }
    return {f"{name} ({view})": float(value) for name, value in rows.items()}


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scorer", nargs="*", choices=("drawn", "trips", "renders"), default=())
    parser.add_argument("--scenes", type=int, default=200)
    arguments = parser.parse_args()
    generator = random.Random(SEED)
    scenes = [sample_scene(generator, unsaid=0, finish=0, flaw=0) for _ in range(arguments.scenes)]
    rows = strategies(gains_of(scenes))
    for view in arguments.scorer:
        rows |= seen_by_scorer(view, scenes[: max(1, arguments.scenes // 5)])
    for name, value in rows.items():
        print(f"{name:<58} {value:8.3f}")


if __name__ == "__main__":
    main()
