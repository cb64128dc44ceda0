"""Contrastive training of an image-text model, shared by `clip` and `heldout`.

Besides the contrastive loss, heads that are thrown away ask the image embedding and the text
embedding for the same labels, each patch for what is drawn on it, and the image embedding for the
rating: on small data this teaches the model what to look at much sooner than captions do (our
choice).  Leaves out the models themselves and fine-tuning on pairs.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from models.embedded.dataset import scene_of
from models.embedded.muon import optimisers
from models.embedded.pictures import (
    CLIP_MEAN,
    CLIP_STD,
    FIELDS,
    GRID,
    WIDTH,
    Pictures,
    columns,
    dense_label,
    label,
    normalise,
    wording,
)
from models.embedded.text import word_ends
from models.embedded.training import (
    Log,
    device,
    home,
    learning_rate,
    load_checkpoint,
    save_checkpoint,
    write_checksums,
)
from models.world.captions import caption
from models.world.draw import SIZE, draw_scene
from models.world.edits import sample_edit
from models.world.scene import Scene
from models.world.taste import taste
from models.world.vocabulary import COLOURS, KINDS

TEXT_LENGTH = 77
VOCABULARY = 2048
VIEWS_FROM = 0.6  # share of the steps after which round trips and renders are mixed in
HELD_OUT_SEED = 77  # of scenes no training draws
MUON_RATE = 0.015
ADAM_RATE = 1.5e-3
_SOFTMAX = ("first", "count", "place", "time", "weather")  # fields with one answer
_DENSE = 1 + len(KINDS) * len(COLOURS)

Contrast = Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]


def build_tokenizer(texts: int = 12_000, seed: int = 5) -> Any:
    """A CLIPTokenizer with a vocabulary of its own, in the order of the published ones: bytes,
    bytes that end a word, merges, start and end of text."""
    from tokenizers import Tokenizer as Backend
    from tokenizers import models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    generator = random.Random(seed)
    lines = []
    for index in range(texts):
        lines.append(wording(scene_of(seed, index)[0], generator))
        if index % 10 == 0:
            lines.append(sample_edit(generator).raw_prompt)
    backend = Backend(models.BPE(end_of_word_suffix="</w>"))
    backend.normalizer = normalizers.Lowercase()  # pyright: ignore[reportAttributeAccessIssue]
    backend.pre_tokenizer = pre_tokenizers.Sequence(  # pyright: ignore[reportAttributeAccessIssue]
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, end_of_word_suffix="</w>", show_progress=False, min_frequency=2,
        special_tokens=word_ends(backend, lines),
    )  # fmt: skip
    backend.train_from_iterator(lines, trainer)
    merges = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{letter}</w>" for letter in alphabet), *map("".join, merges)]
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=TEXT_LENGTH)  # pyright: ignore[reportArgumentType]


def tokenizer_of(folder: Path, seed: int = 5, length: int = TEXT_LENGTH) -> Any:
    """The tokenizer that the folder ships, else one trained now: it never changes later."""
    from transformers import AutoTokenizer

    if (folder / "tokenizer.json").exists():
        return AutoTokenizer.from_pretrained(folder)
    tokenizer = build_tokenizer(seed=seed)
    tokenizer.model_max_length = length
    return tokenizer


class Heads(nn.Module):
    """What is asked of embeddings and patches during training only."""

    def __init__(self, embedding: int, patch: int) -> None:
        super().__init__()
        self.labels = nn.Linear(embedding, WIDTH)
        self.dense = nn.Linear(patch, _DENSE)
        self.rating = nn.Linear(embedding, 1)

    def rating_loss(self, images: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Squared error of a linear reading of unit vectors: the aesthetic predictor that will
        look at them is linear, too."""
        guess = self.rating(functional.normalize(images) * images.shape[1] ** 0.5).squeeze(1)
        return functional.mse_loss(guess, ratings)

    def label_loss(self, embeddings: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Mean over fields; columns of `wanted` (B, WIDTH) that are negative are not asked."""
        logits, losses = self.labels(embeddings), []
        for field in FIELDS:
            part = columns(field)
            guess, truth = logits[:, part], wanted[:, part]
            asked = truth[:, 0] >= 0
            if not asked.any():
                continue
            guess, truth = guess[asked], truth[asked]
            if field in _SOFTMAX:
                losses.append(functional.cross_entropy(guess, truth))
            else:
                loss = functional.binary_cross_entropy_with_logits(guess, truth, reduction="none")
                losses.append(loss.sum(1).mean() / 2)
        return torch.stack(losses).mean()


def _text_labels(batch: list[Any], texts: list[str], resolved: list[Any]) -> np.ndarray:
    """Labels of texts: what a text does not say is not asked (-1)."""
    rows = np.stack([label(scene) for scene in resolved])
    for row, scene, text in zip(rows, batch, texts, strict=True):
        said = {
            "pair": all(group.colour for group in scene.groups),
            "place": scene.place is not None,
            "time": scene.time is not None,
            # an intent says no finish, a caption may drop facts: ask only what is surely there
            "finish": not text[0].isupper(),
            "flaw": not text[0].isupper(),
        }
        for field, is_said in said.items():
            if not is_said:
                row[columns(field)] = -1
    return rows


def softmax_contrast(model: Any, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """CLIP's symmetric cross-entropy over the batch, of unit vectors."""
    logits = model.logit_scale.exp().clamp(max=100) * images @ texts.T
    target = torch.arange(len(images), device=images.device)
    return (
        functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)
    ) / 2


def sigmoid_contrast(model: Any, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    """SigLIP's pairwise sigmoid loss, of unit vectors."""
    logits = model.logit_scale.exp().clamp(max=100) * images @ texts.T + model.logit_bias
    sign = 2 * torch.eye(len(images), device=images.device) - 1
    return -functional.logsigmoid(sign * logits).sum(1).mean()


def embed_images(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (B, D) before normalisation, and patches (B, P, H) without a class token."""
    output = model.vision_model(pixel_values=pixels)
    pooled = output.pooler_output
    if hasattr(model, "visual_projection"):
        return model.visual_projection(pooled), output.last_hidden_state[:, 1:]
    return pooled, output.last_hidden_state


def embed_texts(model: Any, tokenizer: Any, texts: list[str]) -> torch.Tensor:
    """Embeddings (B, D) before normalisation."""
    siglip = model.config.model_type.startswith("siglip")
    length = model.config.text_config.max_position_embeddings
    tokens = tokenizer(
        texts, padding="max_length" if siglip else True, truncation=True, max_length=length,
        return_tensors="pt",
    ).to(device())  # fmt: skip
    output = model.get_text_features(**tokens)
    return output if isinstance(output, torch.Tensor) else output.pooler_output


def train_encoder(
    name: str, model: Any, tokenizer: Any, contrast: Contrast, *, steps: int, batch: int, seed: int,
    warm: bool = False,
) -> Any:  # fmt: skip
    """Train (or go on training) `model` in place on labelled pictures; returns it.

    Resumes from `<home>/checkpoints/<name>.pt`.  Data of step k depends on `seed` and k only.
    A `warm` model has learned before: it sees round trips and renders from the first step on.
    """
    torch.manual_seed(seed)
    log, path = Log(name), home() / "checkpoints" / f"{name}.pt"
    patch = model.config.vision_config.hidden_size
    width = model.config.projection_dim if hasattr(model, "visual_projection") else patch
    heads = Heads(width, patch).to(device())
    model.to(device()).train()
    both = nn.ModuleDict({"model": model, "heads": heads})
    pair, step = optimisers(both, MUON_RATE, ADAM_RATE), 0
    if state := load_checkpoint(path):
        step = state["step"]
        both.load_state_dict(state["both"])
        for optimiser, saved in zip(pair, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
    pictures, sums = Pictures(), np.zeros(5)
    views_from = 0.0 if warm else VIEWS_FROM * steps
    while step < steps:
        scale = learning_rate(step, steps, 1.0, warmup=40, decay=0.5)
        for optimiser, peak in zip(pair, (MUON_RATE, ADAM_RATE), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = peak * scale
        generator = random.Random(f"{name}-{seed}-{step}")
        shown = pictures.sample(batch, generator, all_views=step >= views_from)
        losses = _losses(model, heads, tokenizer, contrast, shown, generator)
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(both.parameters(), 5.0)
        for optimiser in pair:
            optimiser.step()
            optimiser.zero_grad()
        step += 1
        sums += [*(loss.item() for loss in losses), 1]
        if step % 50 == 0 or step == steps:
            names = ("contrast", "labels", "dense", "rating")
            log(step=step, **dict(zip(names, (sums[:4] / sums[4]).tolist(), strict=True)))
            sums[:] = 0
        if step % 100 == 0 or step == steps:
            if step % 300 == 0 or step == steps:
                log(step=step, **retrieval(model, tokenizer))
            saved = {"step": step, "both": both.state_dict()}
            save_checkpoint(path, {**saved, "optimisers": [o.state_dict() for o in pair]})
    return model.eval()


def _losses(
    model: Any, heads: Heads, tokenizer: Any, contrast: Contrast,
    sample: tuple[np.ndarray, list[Scene], list[Scene]], generator: random.Random,
) -> list[torch.Tensor]:  # fmt: skip
    shown, said, resolved = sample
    texts = [wording(scene, generator) for scene in said]
    wanted = torch.from_numpy(np.stack([label(scene) for scene in resolved])).to(device())
    of_texts = torch.from_numpy(_text_labels(said, texts, resolved)).to(device())
    dense = torch.from_numpy(np.stack([dense_label(scene) for scene in resolved])).to(device())
    images, patches = embed_images(model, normalise(shown).to(device()))
    words = embed_texts(model, tokenizer, texts)
    unit = functional.normalize
    labels = heads.label_loss(images, wanted) + 0.5 * heads.label_loss(words, of_texts)
    if patches.shape[1] == GRID * GRID:
        on_patches = functional.cross_entropy(heads.dense(patches).flatten(0, 1), dense.flatten())
    else:
        on_patches = torch.zeros((), device=device())
    ratings = torch.tensor([taste(scene) for scene in resolved]).to(device())
    looks = heads.rating_loss(images, ratings)
    return [contrast(model, unit(images), unit(words)), labels, on_patches, looks]


def retrieval(model: Any, tokenizer: Any, count: int = 500, drawn: bool = True) -> dict[str, float]:
    """Top-1 and top-5 of the picture among `count` held-out drawings, given its full caption.

    A picture with the same caption counts as right.  `model` is left in the mode it was in.
    """
    generator = random.Random(HELD_OUT_SEED)
    scenes = [scene_of(HELD_OUT_SEED, index) for index in range(count)]
    texts = [caption(scene, generator, fillers=0.0) for scene, _ in scenes]
    shown = np.stack([draw_scene(scene, layout) for scene, layout in scenes])
    training = model.training
    model.eval()
    with torch.no_grad():
        images = [embed_images(model, normalise(shown[i : i + 64]).to(device()))[0]
                  for i in range(0, count, 64)]  # fmt: skip
        words = [embed_texts(model, tokenizer, texts[i : i + 64]) for i in range(0, count, 64)]
    model.train(training)
    unit = functional.normalize
    near = unit(torch.cat(words)) @ unit(torch.cat(images)).T
    best = near.topk(5, dim=1).indices.tolist()
    first = [texts[row[0]] == texts[k] for k, row in enumerate(best)]
    five = [k in row for k, row in enumerate(best)]
    return {"top1": float(np.mean(first)), "top5": float(np.mean(five))}


def export_encoder(model: Any, tokenizer: Any, folder: Path) -> Path:
    """Save model (fp16), tokenizer and image processor as a `transformers` folder."""
    from copy import deepcopy

    from transformers import CLIPImageProcessorPil

    deepcopy(model).half().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE},
        image_mean=list(CLIP_MEAN), image_std=list(CLIP_STD),
    )  # fmt: skip
    processor.save_pretrained(folder)
    write_checksums(folder)
    return folder


def load_encoder(folder: Path) -> tuple[Any, Any]:
    """(model in float32, tokenizer) of an exported folder."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    return model.to(device()).eval(), AutoTokenizer.from_pretrained(folder)
