"""How much room the world's taste leaves for reinforcement learning, on drawn scenes.

For 200 scenes every set of finish words is rated (2^10 sets, exhaustive), and strategies are
compared by their mean gain over no words: the best set of each scene (oracle), the best constant
suffix, all words, random words as a teacher blind to the scene picks them, and those random words
that a gain > 0 rule accepts (what SFT can learn to sample from).  `--scorer` adds what the shipped
aesthetic predictor sees in the drawings: Spearman within scenes, gain of its own best choice, and
noise over seeds.  Leaves out renders (`benchmarks/embedded_scorers.py` scores those).

    python -m benchmarks.headroom [--scorer] [--scenes 200]
"""

import argparse
import itertools
import random
from dataclasses import replace

import numpy as np

from models.world.draw import draw_scene
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


def seen_by_scorer(scenes: list[Scene], per_scene: int = 24, seeds: int = 2) -> dict[str, float]:
    """Agreement of the shipped aesthetic predictor with taste, on drawings."""
    from PIL import Image

    from benchmarks.embedded_scorers import rank_correlation, scorer

    predictor = scorer("aesthetic")
    generator = random.Random(SEED)
    correlations, noises, chosen_gain, oracle = [], [], [], []
    for scene in scenes:
        sets = [(), *generator.sample(SETS[1:386], per_scene - 1)]  # at most four words
        dressed = [replace(scene, finishes=c) for c in sets]
        values = np.stack(
            [predictor.score([Image.fromarray(draw_scene(s, seed)) for s in dressed])
             for seed in range(seeds)]
        )  # fmt: skip
        truth = np.array([taste(s) for s in dressed])
        correlations.append(rank_correlation(values.mean(0), truth))
        noises.append(values.std(0, ddof=1).mean())
        chosen_gain.append(truth[values.mean(0).argmax()] - truth[0])
        oracle.append(truth.max() - truth[0])
    return {
        "Spearman within a scene, scorer and taste": float(np.mean(correlations)),
        "deviation over seeds / oracle gain": float(np.mean(noises) / np.mean(oracle)),
        "scorer's own choice / oracle": float(np.mean(chosen_gain) / np.mean(oracle)),
    }


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scorer", action="store_true")
    parser.add_argument("--scenes", type=int, default=200)
    arguments = parser.parse_args()
    generator = random.Random(SEED)
    scenes = [sample_scene(generator, unsaid=0, finish=0, flaw=0) for _ in range(arguments.scenes)]
    rows = strategies(gains_of(scenes))
    if arguments.scorer:
        rows |= seen_by_scorer(scenes[: max(1, arguments.scenes // 4)])
    for name, value in rows.items():
        print(f"{name:<45} {value:8.3f}")


if __name__ == "__main__":
    main()
