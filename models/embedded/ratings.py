"""Synthetic ratings and preferences: the only way in which the world's taste enters a model.

A rating is the taste of a picture's scene.  A preference compares two pictures for one intent: who
shows what was asked for wins, and among equals the better looking one does.  Pictures are drawn in
both styles, as they are or through the autoencoder.  Leaves out renders
(`models.embedded.renders`).
"""

import random
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch

from models.embedded.autoencoder import to_tensor
from models.embedded.training import WEIGHTS, device
from models.world.draw import STYLES, draw_scene
from models.world.edits import sample_edit
from models.world.grammar import intent_of, sample_voice
from models.world.scene import Scene, resolve, sample_scene
from models.world.taste import taste
from models.world.vocabulary import FINISHES, FLAWS
from schemas.units import EditKind

PLAIN = 5.0  # rating of a picture of taste 0, as the published predictor's scale has it
MISMATCH = 1.5  # deviations of taste that one wrong fact costs (our choice: content comes first)
MARGIN = 0.35  # deviations of taste; closer pairs are not asked, as people could not tell either
_CONTENT = (EditKind.ADD, EditKind.REMOVE, EditKind.REPLACE, EditKind.ATTRIBUTE)


@dataclass(frozen=True)
class Pair:
    """Two pictures of one intent; the first is preferred."""

    intent: str
    better: Scene
    worse: Scene
    seed: int
    style: str


def dressed(scene: Scene, generator: random.Random) -> Scene:
    """The scene with a finish: none, a few words, rarely many, and flaws at times.

    Most are the best of four random sets.  Blind words hurt on average, and a scorer trained on
    them alone learns that words hurt; half of these help, so it has to look which.
    """
    plain = scene.plain()
    tries = 4 if generator.random() < 0.6 else 1
    sets = [_random_set(generator) for _ in range(tries)]
    best = max(sets, key=lambda words: taste(replace(plain, finishes=words)))
    flaws: tuple[str, ...] = ()
    if generator.random() < 0.2:
        flaws = tuple(generator.sample(list(FLAWS), generator.choice((1, 1, 2))))
    return replace(scene, finishes=best, flaws=flaws)


def _random_set(generator: random.Random) -> tuple[str, ...]:
    many = generator.random() < 0.1
    size = generator.choice((5, 6, 7) if many else (0, 1, 1, 2, 2, 2, 3, 3, 3, 4))
    return tuple(generator.sample(list(FINISHES), size))


def sample_rated(generator: random.Random, *, unseen: bool | None = False) -> tuple[Scene, int]:
    """A dressed scene and the seed to draw it with."""
    scene = sample_scene(generator, unsaid=0.0, finish=0.0, flaw=0.0, unseen=unseen)
    return dressed(scene, generator), generator.getrandbits(31)


def _other_content(scene: Scene, generator: random.Random) -> Scene:
    """The scene with one fact edited, as if the instruction had been ignored or misread."""
    start = (scene.plain(), sample_voice(generator))
    while True:
        kind = generator.choice(_CONTENT)
        try:
            after = sample_edit(generator, kind, start=start).after
        except ValueError:  # nothing of this kind can be done to this scene
            continue
        if after.place and after.time:
            return after


def sample_pair(generator: random.Random, deviation: float) -> Pair:
    """A pair with a clear winner; `deviation` is the standard deviation of taste over pictures.

    Half of the pairs differ in looks only, a quarter in content only, a quarter in both.
    """
    while True:
        scene = sample_scene(generator, unsaid=0.0, finish=0.0, flaw=0.0)
        seed, style = (
            generator.getrandbits(31),
            "classic" if generator.random() < 0.7 else STYLES[1],
        )
        draw = generator.random()
        left = dressed(scene, generator)
        content = scene if draw < 0.5 else _other_content(scene, generator)
        if 0.5 <= draw < 0.75:
            right = replace(content, finishes=left.finishes, flaws=left.flaws)
        else:
            right = dressed(content, generator)
        gap = (taste(resolve(left, seed)) - taste(resolve(right, seed))) / deviation
        if content is not scene:
            gap += MISMATCH
        if abs(gap) < MARGIN:
            continue
        better, worse = (left, right) if gap > 0 else (right, left)
        return Pair(intent_of(scene), better, worse, seed, style)


@lru_cache
def deviation_of_taste(count: int = 2000) -> float:
    """Standard deviation of taste over rated scenes, for units that do not depend on its scale."""
    generator = random.Random(31)
    return float(np.std([taste(resolve(*sample_rated(generator))) for _ in range(count)]))


def through_autoencoder(pictures: np.ndarray) -> np.ndarray:
    """uint8 pictures encoded and decoded; unchanged while there is no autoencoder."""
    global _VAE
    if _VAE is None:
        if not (WEIGHTS / "vae" / "config.json").exists():
            return pictures
        from models.embedded.autoencoder import load

        _VAE = load()
    with torch.no_grad():
        y = _VAE(to_tensor(pictures).to(device())).sample.clamp(-1, 1)
    return ((y + 1) * 127.5 + 0.5).byte().cpu().permute(0, 2, 3, 1).numpy()


_VAE = None  # loaded once a process


def draw_pairs(pairs: list[Pair], *, trips: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (better, worse) of the pairs, uint8 (B, 64, 64, 3) each."""
    better = np.stack([draw_scene(p.better, p.seed, p.style) for p in pairs])
    worse = np.stack([draw_scene(p.worse, p.seed, p.style) for p in pairs])
    if trips:
        return through_autoencoder(better), through_autoencoder(worse)
    return better, worse
