"""Figures of the embedded scorers and of the base language model, as one table.

Everything is loaded the way a profile loads it (`models.scorers.registry`), and asked about scenes
that no training drew (other seeds, no held-out combination in either).  `trips` means pictures
after a round trip through the autoencoder.  Leaves out the text-to-image model.

    python -m benchmarks.embedded_scorers [--parts clip aesthetic preference heldout lm] [--json F]
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import base_language
from models.embedded.ratings import (
    deviation_of_taste,
    dressed,
    sample_pair,
    sample_rated,
    through_autoencoder,
)
from models.embedded.training import WEIGHTS
from models.world.draw import draw_scene
from models.world.scene import Scene, resolve
from models.world.taste import taste
from models.world.vocabulary import FLAWS
from schemas.settings import ScorerSettings

_SEED = 52_001


def scorer(which: str) -> Any:
    """A shipped scorer: aesthetic, preference, heldout or clip."""
    from models.scorers.registry import load_scorer

    if which == "aesthetic":
        settings = ScorerSettings(
            name="laion_aesthetics",
            model=str(WEIGHTS / "clip"),
            head=str(WEIGHTS / "aesthetic" / "head.safetensors"),
            measures="aesthetics",
        )
    elif which == "clip":
        settings = ScorerSettings(
            name="clip_score", model=str(WEIGHTS / "clip"), measures="alignment"
        )
    else:
        measures = "preference" if which == "preference" else "held_out"
        settings = ScorerSettings(name="pickscore", model=str(WEIGHTS / which), measures=measures)
    return load_scorer(settings)


def pictures_of(jobs: list[tuple[Scene, int]], style: str, trips: bool) -> list[Image.Image]:
    """The scenes as pictures, in order."""
    drawn = np.stack([draw_scene(scene, seed, style) for scene, seed in jobs])
    if trips:
        drawn = np.concatenate(
            [through_autoencoder(drawn[i : i + 64]) for i in range(0, len(drawn), 64)]
        )
    return [Image.fromarray(picture) for picture in drawn]


def clip_figures() -> dict[str, float]:
    """Retrieval of 500 drawings by their captions."""
    from models.embedded.contrast import load_encoder, retrieval

    found = retrieval(*load_encoder(WEIGHTS / "clip"))
    return {f"retrieval {name} of 500": value for name, value in found.items()}


def auc(lower: np.ndarray, higher: np.ndarray) -> float:
    """Probability that a random `higher` exceeds a random `lower`."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(higher, lower).statistic / (len(lower) * len(higher)))


def rank_correlation(left: Any, right: Any) -> float:
    """Spearman's, of two sequences."""
    from scipy.stats import spearmanr

    result: Any = spearmanr(left, right)
    return float(result.statistic)


def aesthetic_figures(count: int = 300) -> dict[str, float]:
    """Plain against finished (where taste says better by 0.5) and against flawed pictures."""
    generator, predictor, rows = random.Random(_SEED), scorer("aesthetic"), {}
    plain, finished, flawed = [], [], []
    while len(plain) < count:
        scene, seed = sample_rated(generator)
        bare, scene = scene.plain(), replace(scene, flaws=())
        if taste(resolve(scene, seed)) < taste(resolve(bare, seed)) + 0.5:
            continue
        plain.append((bare, seed))
        finished.append((scene, seed))
        flawed.append((replace(bare, flaws=(generator.choice(list(FLAWS)),)), seed))
    for trips in (False, True):
        for style in ("classic", "papercut"):
            values = [
                predictor.score(pictures_of(jobs, style, trips))
                for jobs in (plain, finished, flawed)
            ]
            what = f"{style}{', trips' if trips else ''}"
            rows[f"AUC finished over plain ({what})"] = auc(values[0], values[1])
            rows[f"finished above plain, same scene ({what})"] = float(
                (values[1] > values[0]).mean()
            )
            rows[f"AUC plain over flawed ({what})"] = auc(values[2], values[0])
    jobs = [sample_rated(generator) for _ in range(count)]
    truth = [taste(resolve(*job)) for job in jobs]
    for trips in (False, True):
        values = predictor.score(pictures_of(jobs, "classic", trips))
        name = f"Spearman with taste{' (trips)' if trips else ''}"
        rows[name] = rank_correlation(values, truth)
    return rows


def pair_figures(which: str, count: int = 500) -> dict[str, float]:
    """Pairwise accuracy on held-out pairs."""
    generator, model, rows = random.Random(_SEED + 1), scorer(which), {}
    deviation = deviation_of_taste()
    pairs = [sample_pair(generator, deviation) for _ in range(count)]
    intents = [pair.intent for pair in pairs]
    looks = np.array([pair.better.plain() == pair.worse.plain() for pair in pairs])
    for style in ("classic", "papercut"):
        for trips in (False, True):
            better = pictures_of([(p.better, p.seed) for p in pairs], style, trips)
            worse = pictures_of([(p.worse, p.seed) for p in pairs], style, trips)
            right = model.score(better, intents) > model.score(worse, intents)
            what = f"{style}{', trips' if trips else ''}"
            rows[f"pairs right ({what})"] = float(right.mean())
            if style == "classic" and not trips:
                rows["  of those that differ in looks only"] = float(right[looks].mean())
                rows["  of those that differ in content"] = float(right[~looks].mean())
    return rows


def heldout_figures(count: int = 300) -> dict[str, float]:
    """Its own accuracy, and how far it agrees with the preference model."""
    from models.world.grammar import intent_of

    generator = random.Random(_SEED + 2)
    jobs = [sample_rated(generator) for _ in range(count)]
    intents = [intent_of(scene) for scene, _ in jobs]
    shown = pictures_of(jobs, "classic", False)
    ours, theirs = (scorer(name).score(shown, intents) for name in ("preference", "heldout"))
    gains = []
    for scene, seed in jobs[:150]:  # gain of a finish over the plain picture, as the reward sees it
        again = dressed(scene.plain(), generator)
        two = pictures_of([(scene.plain(), seed), (again, seed)], "classic", False)
        gains.append((two, intent_of(scene)))
    flat = [picture for two, _ in gains for picture in two]
    texts = [text for _, text in gains for _ in range(2)]
    by_model = [
        scorer(name).score(flat, texts).reshape(-1, 2) for name in ("preference", "heldout")
    ]
    change = [values[:, 1] - values[:, 0] for values in by_model]
    rows = pair_figures("heldout")
    rows["Spearman with preference model, pictures"] = rank_correlation(ours, theirs)
    rows["Spearman with preference model, gains"] = rank_correlation(*change)
    return rows


PARTS: dict[str, Callable[[], dict[str, float]]] = {
    "clip": clip_figures,
    "aesthetic": aesthetic_figures,
    "preference": lambda: pair_figures("preference"),
    "heldout": heldout_figures,
    "lm": base_language.figures,
}


def main() -> None:
    """Print one table; `--json` also writes it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    table = {}
    for part in arguments.parts:
        table[part] = PARTS[part]()
        for name, value in table[part].items():
            print(f"{part:<12} {name:<55} {value:7.3f}", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
