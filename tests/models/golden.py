"""Golden values of the shipped models: scores of fixed pictures, mean colours of fixed renders.

They belong to weights by hash, so weights that were trained anew have none until this is run:

    python -m tests.models.golden
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from models.scorers import load_scorer
from models.tis import load_tis
from schemas.settings import ScorerSettings, TisSettings

FILE = Path(__file__).with_name("golden.json")
SHIPPED = Path(__file__).resolve().parents[2] / "models" / "embedded" / "weights"
PROMPTS = ("a red house in a meadow", "two blue fish at sea at night, soft shadows")
INTENTS = ("a red house in a meadow", "a blue fish", "a green tree by day", "a star")
SCORERS = {
    "laion_aesthetics": {"model": "clip", "head": "aesthetic"},
    "pickscore": {"model": "preference"},
    "clip_score": {"model": "clip"},
    "heldout": {"model": "heldout"},
}
TIS = ("tis-sd", "tis-sdxl")


def pictures() -> list[Image.Image]:
    """Four smooth pictures of 64 × 64 that depend on nothing of this project."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (4, 4, 4, 3), dtype=np.uint8)
    return [Image.fromarray(c).resize((64, 64), Image.Resampling.BICUBIC) for c in coarse]


def score(name: str) -> tuple[str, list[float]]:
    """(weights hash, scores) of a shipped scorer.  Raises ModelError if it is not there."""
    parts = {key: str(SHIPPED / folder) for key, folder in SCORERS[name].items()}
    registered = "pickscore" if name == "heldout" else name
    scorer = load_scorer(
        ScorerSettings(name=registered, measures="held_out", device="cpu", **parts)
    )
    values = scorer.score(pictures(), list(INTENTS))
    return scorer.identity.weights_hash, [round(float(v), 4) for v in values]


def render(name: str) -> tuple[str, list[list[float]]]:
    """(weights hash, mean RGB of two renders, 0 to 255) of a shipped text-to-image model."""
    settings = TisSettings(model=str(SHIPPED / name), steps=4, device="cpu", dtype="float32")
    tis = load_tis(settings)
    images = tis.render(PROMPTS, [1, 2])
    means = [np.asarray(i, float).mean((0, 1)).round(2).tolist() for i in images]
    return tis.identity.weights_hash, means


def main() -> None:
    golden = {}
    for name in SCORERS:
        if (SHIPPED / SCORERS[name]["model"] / "config.json").is_file():
            golden[name] = score(name)
    for name in TIS:
        if (SHIPPED / name / "model_index.json").is_file():
            golden[name] = render(name)
    FILE.write_text(json.dumps(golden, indent=1) + "\n")
    print(FILE)


if __name__ == "__main__":
    main()
