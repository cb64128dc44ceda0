"""Figures of the embedded scorers and of the base language model, as one table.

Everything is loaded the way a profile loads it (`models.scorers.registry`), and asked about scenes
that no training drew (other seeds, no held-out combination in either).  `trips` means pictures
after a round trip through the autoencoder, `renders` pictures by the shipped text-to-image model
at the profile's settings.  Leaves out what that model itself is worth (`benchmarks.embedded`).

    python -m benchmarks.embedded_scorers [--parts clip aesthetic preference heldout lm] [--json F]
"""

import argparse
import json
import random
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
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
from models.embedded.renders import load_pipeline, render, worded
from models.embedded.training import WEIGHTS
from models.world.draw import STYLES, draw_scene
from models.world.scene import Scene, resolve
from models.world.taste import taste
from models.world.vocabulary import FLAWS
from schemas.settings import ScorerSettings

_SEED = 52_001
VIEWS = ("drawn", "trips", "renders")


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


@lru_cache
def _pipeline() -> Any:
    return load_pipeline(WEIGHTS / "tis-sd")


def rendered(jobs: list[tuple[Scene, int]]) -> list[Image.Image]:
    """The scenes rendered by the shipped text-to-image model, in order."""
    pipeline = _pipeline()
    prompts = [worded(scene, seed) for scene, seed in jobs]
    return [Image.fromarray(p) for p in render(pipeline, prompts, [seed for _, seed in jobs])]


def pictures_of(jobs: list[tuple[Scene, int]], style: str, view: str) -> list[Image.Image]:
    """The scenes as pictures, in order; `view` is drawn, trips or renders."""
    if view == "renders":
        return rendered(jobs)
    drawn = np.stack([draw_scene(scene, seed, style) for scene, seed in jobs])
    if view == "trips":
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
    for view in VIEWS:
        for style in STYLES if view != "renders" else STYLES[:1]:
            values = [
                predictor.score(pictures_of(jobs, style, view))
                for jobs in (plain, finished, flawed)
            ]
            what = f"{style}, {view}"
            rows[f"AUC finished over plain ({what})"] = auc(values[0], values[1])
            rows[f"finished above plain, same scene ({what})"] = float(
                (values[1] > values[0]).mean()
            )
            rows[f"AUC plain over flawed ({what})"] = auc(values[2], values[0])
    jobs = [sample_rated(generator) for _ in range(count)]
    truth = [taste(resolve(*job)) for job in jobs]
    for view in VIEWS:
        values = predictor.score(pictures_of(jobs, "classic", view))
        rows[f"Spearman with taste ({view})"] = rank_correlation(values, truth)
    return rows


def pair_figures(which: str, count: int = 500) -> dict[str, float]:
    """Pairwise accuracy on held-out pairs."""
    generator, model, rows = random.Random(_SEED + 1), scorer(which), {}
    deviation = deviation_of_taste()
    pairs = [sample_pair(generator, deviation) for _ in range(count)]
    intents = [pair.intent for pair in pairs]
    looks = np.array([pair.better.plain() == pair.worse.plain() for pair in pairs])
    for view in VIEWS:
        for style in STYLES if view != "renders" else STYLES[:1]:
            better = pictures_of([(p.better, p.seed) for p in pairs], style, view)
            worse = pictures_of([(p.worse, p.seed) for p in pairs], style, view)
            right = model.score(better, intents) > model.score(worse, intents)
            rows[f"pairs right ({style}, {view})"] = float(right.mean())
            if style == "classic" and view != "trips":
                rows[f"  of those that differ in looks only ({view})"] = float(right[looks].mean())
                rows[f"  of those that differ in content ({view})"] = float(right[~looks].mean())
    return rows


def heldout_figures(count: int = 300) -> dict[str, float]:
    """Its own accuracy, and how far it agrees with the preference model."""
    from models.world.grammar import intent_of

    generator = random.Random(_SEED + 2)
    jobs = [sample_rated(generator) for _ in range(count)]
    intents = [intent_of(scene) for scene, _ in jobs]
    shown = pictures_of(jobs, "classic", "drawn")
    ours, theirs = (scorer(name).score(shown, intents) for name in ("preference", "heldout"))
    gains = []
    for scene, seed in jobs[:150]:  # gain of a finish over the plain picture, as the reward sees it
        again = dressed(scene.plain(), generator)
        two = pictures_of([(scene.plain(), seed), (again, seed)], "classic", "drawn")
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
