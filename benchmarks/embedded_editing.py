"""Measure the embedded editing model: is the edit done, and is the rest kept?

    python -m benchmarks.embedded_editing [--edits 500] [--guidance 2] [--image-guidance 1.5]

Method: edits that no training saw (another seed), each with a scene before and after.  The picture
before is drawn, or rendered by `tis-sd` from the raw prompt; the model edits it by the instruction
in 10 steps; a classifier trained on drawings (`models.embedded.adherence`) reads kind, colour and
count of both groups, place and time.  `done`: all facts that the edit changes are seen as they
should be after it.  `kept`: all facts that it does not change are seen as before (for renders: as
the classifier saw them in the render).  Edits that change none of these facts (weather, style,
finish words) are left out.  The row `drawn after` is the ceiling: the scene after, drawn and
autoencoded.
"""

import argparse
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from models.embedded.editing import edits_of
from models.embedded.renders import load_pipeline, render
from models.embedded.text import facts
from models.embedded.training import WEIGHTS
from models.evaluation.editing import Editor
from models.world.draw import draw_scene
from models.world.scene import resolve
from schemas.evaluation import MethodSettings

STEPS, SEED = 10, 88_001


class Case(NamedTuple):
    """One edit with what is to be seen before and after it, in the classes of `text.facts`."""

    raw_prompt: str
    instruction: str
    before: np.ndarray  # uint8 (64, 64, 3), drawn
    after: np.ndarray  # uint8 (64, 64, 3), drawn
    facts_before: list[int]
    facts_after: list[int]


def cases(count: int) -> list[Case]:
    """The first `count` edits that change what the classifier can see."""
    found: list[Case] = []
    for edit, layout in edits_of(SEED, 4 * count):  # about half of them do
        before, after = resolve(edit.before, layout), resolve(edit.after, layout)
        if facts(before)[:8] != facts(after)[:8]:
            drawn = draw_scene(edit.before, layout), draw_scene(edit.after, layout)
            told = edit.raw_prompt, edit.instruction
            found.append(Case(*told, *drawn, facts(before)[:8], facts(after)[:8]))
    return found[:count]


def row(name: str, seen: np.ndarray, before: np.ndarray, after: np.ndarray, changed: Any) -> str:
    """Shares of edits done, kept and both; `seen`, `before`, `after`, `changed` are (N, 8)."""
    done = ((seen == after) | ~changed).all(axis=1)
    kept = ((seen == before) | changed).all(axis=1)
    facts_kept = (seen == before)[~changed].mean()
    return (
        f"| {name} | {done.mean():.3f} | {kept.mean():.3f} | {(done & kept).mean():.3f} "
        f"| {facts_kept:.3f} |"
    )


def main() -> None:
    """Print the table."""
    from models.embedded import adherence, autoencoder

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edits", type=int, default=500)
    parser.add_argument("--guidance", type=float, default=2.0)
    parser.add_argument("--image-guidance", type=float, default=1.5)
    arguments = parser.parse_args()
    judge, vae = adherence.load(), autoencoder.load()
    editor = Editor(
        MethodSettings(
            kind="edit", model=str(WEIGHTS / "tis-ip2p"), steps=STEPS,
            guidance=arguments.guidance, image_guidance=arguments.image_guidance,
        )
    )  # fmt: skip
    chosen = cases(arguments.edits)
    instructions = [case.instruction for case in chosen]
    before = np.array([case.facts_before for case in chosen])
    after = np.array([case.facts_after for case in chosen])
    changed = before != after

    def seen_after(pictures: np.ndarray) -> np.ndarray:
        images = [Image.fromarray(picture) for picture in pictures]
        made = editor.edit(images, instructions, range(len(images)))
        return adherence.classify(judge, np.stack([np.asarray(image) for image in made]))

    print("| picture before | done | kept | both | facts kept |", "|---|---|---|---|---|", sep="\n")
    through = autoencoder.round_trip(vae, np.stack([case.after for case in chosen]))
    print(row("drawn after", adherence.classify(judge, through), before, after, changed))
    drawn = np.stack([case.before for case in chosen])
    print(row("drawn", seen_after(drawn), before, after, changed))
    tis = load_pipeline(WEIGHTS / "tis-sd")
    rendered = render(tis, [case.raw_prompt for case in chosen], list(range(len(chosen))))
    as_seen = adherence.classify(judge, rendered)
    print(row("rendered", seen_after(rendered), as_seen, after, changed))


if __name__ == "__main__":
    main()
