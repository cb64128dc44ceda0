"""Measure the embedded text-to-image models: adherence, speed, contact sheets.

    python -m benchmarks.embedded [--model tis-sd] [--prompts 500] [--seeds 2] [--guidance 3]
        [--sheets docs]

Method: scenes that the model was not trained on (none of its 20,000, finish words aside) are worded
without filler, rendered with 10 DDIM steps and the profile's guidance of 3, and judged by a
classifier trained on drawings (`models.embedded.adherence`).
The `drawn` rows are its ceiling: the same scenes drawn, and drawn through the autoencoder.  Leaves
out the scorers' figures.
"""

import argparse
import random
import time
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.embedded.dataset import scene_of
from models.embedded.diffusion import SD
from models.embedded.renders import load_pipeline, render
from models.embedded.transfer import SDXL
from models.world.captions import caption
from models.world.draw import contact_sheet, draw_scene
from models.world.scene import Scene, resolve, sample_scene
from models.world.vocabulary import FINISHES

STEPS = 10
COLUMNS = ("kind", "colour", "count", "place", "time", "binding")


@cache
def trained_on(model: str) -> frozenset[Scene]:
    """The contents of the pictures that the model's training drew, everything said."""
    recipe = SDXL if model == SDXL.name else SD
    drawn = (scene_of(recipe.seed, index) for index in range(recipe.pictures))
    return frozenset(resolve(scene, layout).plain() for scene, layout in drawn)


def scenes_of(name: str, count: int, model: str = SD.name) -> list[Scene]:
    """Scenes of one row that the model's training has not drawn; everything said, because only that
    can be judged."""
    generator = random.Random(77_000 + len(name))
    unseen, two = name == "unseen combinations", name == "two groups"
    found = []
    while len(found) < count:
        scene = sample_scene(
            generator, two_groups=1.0 if two else 0.2, unsaid=0, weather=0.1, finish=0, flaw=0,
            unseen=unseen,
        )  # fmt: skip
        if scene in trained_on(model):
            continue
        if name == "with finish words":
            words = generator.sample(list(FINISHES), generator.randint(1, 3))
            scene = replace(scene, finishes=tuple(words))
        found.append(scene)
    return found


def prompts_of(scenes: list[Scene]) -> list[str]:
    """One wording a scene."""
    generator = random.Random(5)
    return [caption(scene, generator, fillers=0.0) for scene in scenes]


def pictures_of(pipeline: Any, prompts: list[str], seed: int, guidance: float) -> np.ndarray:
    """uint8 (N, 64, 64, 3)."""
    seeds = [seed * 100_000 + k for k in range(len(prompts))]
    return render(pipeline, prompts, seeds, steps=STEPS, guidance=guidance)


def _row(name: str, values: dict[str, float]) -> str:
    cells = " | ".join(f"{values[column]:.3f}" for column in COLUMNS)
    return f"| {name} | {cells} |"


def table(model: str, count: int, seeds: int, guidance: float) -> list[str]:
    """The adherence table in Markdown, and the speed."""
    from models.embedded import adherence, autoencoder
    from models.embedded.training import WEIGHTS

    style = "papercut" if model == "tis-sdxl" else "classic"
    judge, pipeline = adherence.load(style), load_pipeline(WEIGHTS / model)
    vae = autoencoder.load()
    lines = [f"| {model} | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in ("plain", "with finish words", "two groups", "unseen combinations"):
        scenes = scenes_of(name, count, model)
        drawn = np.stack([draw_scene(s, i, style) for i, s in enumerate(scenes)])
        through = autoencoder.round_trip(vae, drawn)
        lines.append(_row(f"{name}: drawn", adherence.adherence(judge, scenes, drawn)))
        seen = adherence.adherence(judge, scenes, through)
        lines.append(_row(f"{name}: drawn, autoencoded", seen))
        if name == "plain":
            lines.append(f"<!-- round trip {autoencoder.psnr(vae, drawn):.1f} dB -->")
        begun = time.process_time()
        prompts = prompts_of(scenes)
        pictures = np.concatenate(
            [pictures_of(pipeline, prompts, seed, guidance) for seed in range(seeds)]
        )
        spent = time.process_time() - begun
        lines.append(_row(name, adherence.adherence(judge, scenes * seeds, pictures)))
        if name == "plain":
            lines.append(f"<!-- {len(pictures) / spent:.1f} images per processor second -->")
    return lines


def sheet(model: str, path: Path, guidance: float) -> None:
    """48 prompts: four rows plain, then the same with two finish words, same seeds."""
    from models.embedded.training import WEIGHTS

    pipeline = load_pipeline(WEIGHTS / model)
    generator = random.Random(3)
    plain = scenes_of("plain", 48, model)
    finished = [replace(s, finishes=tuple(generator.sample(list(FINISHES), 2))) for s in plain]
    rows = [pictures_of(pipeline, prompts_of(scenes), 0, guidance) for scenes in (plain, finished)]
    ordered = []
    for start in range(0, 48, 12):
        ordered += [*rows[0][start : start + 12], *rows[1][start : start + 12]]
    contact_sheet(ordered, 12).save(path)


def main() -> None:
    """Print the table; with `--sheets`, write a contact sheet there too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tis-sd")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--sheets", type=Path, help="folder for a contact sheet")
    arguments = parser.parse_args()
    guidance: float = arguments.guidance
    print("\n".join(table(arguments.model, arguments.prompts, arguments.seeds, guidance)))
    if arguments.sheets:
        sheet(arguments.model, arguments.sheets / f"embedded-{arguments.model}.png", guidance)


if __name__ == "__main__":
    main()
