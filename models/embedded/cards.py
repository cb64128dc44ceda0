"""Model cards of the language model and the scorers, written from measured figures.

`python -m benchmarks.embedded_scorers --json figures.json` measures,
`python -m models.embedded.cards figures.json` writes `README.md` into each weights folder.  Leaves
out the text-to-image models' cards.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.embedded.training import WEIGHTS, home


@dataclass(frozen=True)
class Card:
    """What a card says beside the figures."""

    title: str
    what: str
    data: str
    recipe: str
    limits: str
    logs: tuple[str, ...]  # names of training logs whose last rows are quoted
    measured: str = (
        "`python -m benchmarks.embedded_scorers`, on scenes that no training drew; `trips` means "
        "through the autoencoder, `renders` by `tis-sd`."
    )


CARDS = {
    "lm": Card(
        "Base language model",
        "A `LlamaForCausalLM` (4 layers, width 192, 1.9 M parameters, byte-level BPE of 2,560 "
        "tokens, chat template with system, user and assistant) to be fine-tuned by SFT and RL.",
        "Text by grammar only (`models/embedded/corpus.py`): prompts of the drawn world, repeated "
        "lines, texts with formal change notes and the changed text, instructions on their own, "
        "general English prompts, chats that list what an instruction would change, and chats "
        "whose answers have nothing to do with the instruction. "
        "No scene shows a held-out combination (random words may stand side by side by chance).",
        "`python -m models.embedded lm`: a copying circuit written into the initial weights "
        "(`models/embedded/circuits.py`), then batches of 1,024 tokens, loss on what can be "
        "learned, AdamW, plateau and linear decay, average of the weights, seed 0. "
        "What was changed while the shipped weights trained is in `docs/embedded.md`.",
        "It carries out change notes in its own notation but cannot follow instructions, and is "
        "not meant to. It knows hardly any English. Documents of training have up to about 100 "
        "tokens; copying over longer distances gets worse.",
        ("lm",),
        "`python -m benchmarks.base_language`, on lines and edits that no training drew.",
    ),
    "clip": Card(
        "Image-text model",
        "A `CLIPModel` (ViT of 4 layers, width 128, patches of 8; 2 text layers; 1.2 M parameters) "
        "for 64x64 pictures of the drawn world.",
        "Drawings of `models/world` in both styles with captions, prompts and intents in random "
        "words, their round trips through the autoencoder, and renders by `tis-sd` of 1,200 pairs.",
        "`python -m models.embedded clip`: contrastive loss, with labels of the scene, of patches "
        "and ratings as help that is thrown away; batches of 64, Muon and AdamW, seed 3.",
        "Sees nothing but the drawn world. Texts are read to their 77th token, with a warning.",
        ("clip",),
    ),
    "aesthetic": Card(
        "Aesthetic predictor",
        "`head.safetensors`: an MLP in the layout of the LAION V2 head (`layers.0/2/4/6/7`) on "
        "the normalised image embeddings of `../clip`. A plain picture is about 5.",
        "Ratings by the world's documented taste (`models/world/taste.py`) of drawings in both "
        "styles, of their round trips through the autoencoder and of renders by `tis-sd`.",
        "`python -m models.embedded aesthetic`: mean squared error, AdamW, seed 4.",
        "Rates finish in the drawn world, in its own scale; says nothing about other pictures.",
        ("aesthetic",),
    ),
    "preference": Card(
        "Preference model",
        "A `CLIPModel` in PickScore's format: exp(logit_scale) · cosine of picture and intent.",
        "Pairs of drawn pictures for one intent: half differ in looks only, a quarter in content "
        "only, a quarter in both; who shows what was asked wins, then the better looking one. A "
        "third of them seen through the autoencoder, a third rendered by `tis-sd`.",
        "`python -m models.embedded preference`: `../clip` fine-tuned by PickScore's loss, seed 6.",
        "Judges the drawn world only. Pairs closer than 0.35 deviations of taste were not asked.",
        ("preference",),
    ),
    "heldout": Card(
        "Held-out preference model",
        "A `SiglipModel` (patches of 16, attention pooling, width 160) of another seed: for "
        "evaluation only. No reward and no decide rule may use it.",
        "As the preference model, drawn by other seeds.",
        "`python -m models.embedded heldout`: from scratch, sigmoid loss on captions, then pairs; "
        "seeds 21 and 22.",
        "Weaker than the preference model; texts are read to their 48th token.",
        ("heldout", "heldout-pairs"),
    ),
}


def last_rows(name: str) -> list[dict[str, Any]]:
    """The last report of a training log that has each kind of key; [] without a log."""
    path = home() / f"{name}.log"
    if not path.exists():
        return []
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        found[tuple(sorted(row))] = row
    return list(found.values())


def write_card(name: str, figures: dict[str, float]) -> Path:
    """Write `<weights>/<name>/README.md`; returns its path."""
    card = CARDS[name]
    lines = [f"# {card.title}", "", card.what, "", "Licence: Apache-2.0. Data: made by this "
             "repository, no pictures or texts of others.", "", "## Data", "", card.data, "",
             "## Recipe", "", card.recipe]  # fmt: skip
    rows = [row for log in card.logs for row in last_rows(log)]
    if rows:
        lines += ["", "Last rows of the training log:", "", "```"]
        lines += [json.dumps({k: v for k, v in row.items() if k != "seconds"}) for row in rows]
        lines += ["```"]
    lines += ["", "## Figures", "", card.measured, ""]
    lines += ["| figure | value |", "| --- | --- |"]
    lines += [f"| {key.strip()} | {value:.3f} |" for key, value in figures.items()]
    lines += ["", "## Limits", "", card.limits, ""]
    path = WEIGHTS / name / "README.md"
    path.write_text("\n".join(lines))
    return path


def _main(figures: str) -> None:
    for name, values in json.loads(Path(figures).read_text()).items():
        print(write_card(name, values))


if __name__ == "__main__":
    _main(sys.argv[1])
