"""Throughput of `Tis.render` against a bare batched diffusers loop, at the same settings.

Method: both render the same prompts and seeds with the same pipeline object in one process, in
turns (ours, bare, ours, …), so that a busy machine slows both; the ratio is of the medians over
the turns, by the clock and by CPU time.  Ours includes token counts, one generator a picture and
the conversion to PIL; the bare loop calls the pipeline with a list of generators.  Also measured:
loading, and the largest difference between a picture rendered alone and in a batch.

Leaves out quality, and memory of accelerators.

    python -m benchmarks.render --model models/embedded/weights/tis-sd --steps 6 --batch 32
"""

import argparse
import json
import resource
import time

import numpy as np

from models.tis import describe_tis, load_tis, load_token_counter
from schemas.settings import TisSettings

NOUNS = ("fox", "cat", "boat", "house", "tree", "car")
COLOURS = ("red", "blue", "green", "white", "black")


def prompts(n: int) -> list[str]:
    return [
        f"a {COLOURS[i % 5]} {NOUNS[i % 6]} at night, soft shadows, number {i}" for i in range(n)
    ]


def bare(pipeline, texts, seeds, settings):
    """What one would write without this project."""
    import torch

    images = []
    for start in range(0, len(texts), settings.batch):
        some = slice(start, start + settings.batch)
        generators = [torch.Generator("cpu").manual_seed(s) for s in seeds[some]]
        images += pipeline(
            prompt=texts[some],
            generator=generators,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
        ).images
    return images


def timed(function, *arguments):
    """((seconds, CPU seconds), value)"""
    start, used = time.perf_counter(), time.process_time()
    value = function(*arguments)
    return np.array([time.perf_counter() - start, time.process_time() - used]), value


def measure(settings: TisSettings, n: int, turns: int) -> dict:
    described, _ = timed(describe_tis, settings)
    counter, _ = timed(load_token_counter, settings)
    first, tis = timed(load_tis, settings)  # with the imports of torch and diffusers
    again, tis = timed(load_tis, settings)
    texts, seeds = prompts(n), list(range(n))
    tis.render(texts[: settings.batch], seeds[: settings.batch])
    ours, theirs = [], []
    images, reference = [], []
    for _ in range(turns):
        seconds, images = timed(tis.render, texts, seeds)
        ours.append(seconds)
        seconds, reference = timed(bare, tis.pipeline, texts, seeds, settings)
        theirs.append(seconds)
    alone = tis.render(texts[:1], seeds[:1])[0]
    mine, bare_loop = np.median(ours, axis=0), np.median(theirs, axis=0)
    return {
        "images_per_s": round(n / mine[0], 2),
        "bare_images_per_s": round(n / bare_loop[0], 2),
        "ratio_to_bare": round(bare_loop[0] / mine[0], 3),
        "ratio_to_bare_cpu": round(bare_loop[1] / mine[1], 3),
        "describe_s": round(described[0], 3),
        "load_counter_s": round(counter[0], 3),
        "load_with_imports_s": round(first[0], 2),
        "load_s": round(again[0], 2),
        "same_as_bare": max(map(difference, images, reference)),
        "alone_or_in_batch": difference(alone, images[0]),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def difference(a, b) -> int:
    """Largest difference of a value, 0 to 255."""
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = TisSettings()
    parser.add_argument("--model", default=default.model)
    parser.add_argument("--steps", type=int, default=default.steps)
    parser.add_argument("--batch", type=int, default=default.batch)
    parser.add_argument("--dtype", default=default.dtype)
    parser.add_argument("--device", default=default.device)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    settings = TisSettings(
        model=given.model,
        steps=given.steps,
        batch=given.batch,
        dtype=given.dtype,
        device=given.device,
    )
    print(json.dumps(measure(settings, given.images, given.turns), indent=1))


if __name__ == "__main__":
    main()
