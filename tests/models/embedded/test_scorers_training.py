"""What the scorers learn from: labels, ratings and pairs; and what the shipped ones see."""

import random

import numpy as np
import pytest
import torch

from models.embedded.contrast import build_tokenizer, embed_images, embed_texts
from models.embedded.pictures import GRID, WIDTH, columns, dense_label, label, normalise
from models.embedded.preference import (
    FOLDER,
    accuracy,
    held_out_pairs,
    pair_loss,
    shown_pairs,
)
from models.embedded.ratings import MARGIN, deviation_of_taste, sample_pair, sample_rated
from models.world.draw import draw_scene, object_mask
from models.world.scene import Group, Scene, is_unseen_combination, resolve
from models.world.taste import taste


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(texts=300)


def test_a_tokenizer_trained_again_is_the_same(tokenizer):
    """Left to themselves, six trainings on these texts give four tokenizers."""
    made = [build_tokenizer(texts=300).get_vocab() for _ in range(5)]
    assert made == [tokenizer.get_vocab()] * 5


def test_labels_tell_scenes_apart():
    scene = Scene((Group("cat", "red", 2),), "city", "night", finishes=("neon glow",))
    other = Scene((Group("cat", "blue", 2),), "city", "night", finishes=("neon glow",))
    assert label(scene).shape == (WIDTH,)
    assert np.abs(label(scene) - label(other)).sum() == 2  # one pair out, one in
    assert label(scene)[columns("finish")].sum() == 1


def test_dense_labels_lie_on_the_objects():
    generator = random.Random(1)
    for _ in range(50):
        scene, seed = sample_rated(generator)
        mask = object_mask(scene, seed)
        patches = mask.reshape(GRID, 8, GRID, 8).mean((1, 3)).ravel()
        marked = dense_label(resolve(scene, seed)) > 0
        assert patches[marked].mean() > 0.3
        assert patches[~marked].mean() < 0.15


def test_pairs_have_a_clear_winner_and_no_unseen_combination():
    generator, deviation = random.Random(2), deviation_of_taste(300)
    for _ in range(200):
        pair = sample_pair(generator, deviation)
        if pair.better.plain() == pair.worse.plain():
            gap = taste(pair.better, pair.seed) - taste(pair.worse, pair.seed)
            assert gap >= MARGIN * deviation
    assert not any(is_unseen_combination(sample_rated(generator)[0]) for _ in range(200))


def test_tokenizer_keeps_the_worlds_words_whole(tokenizer):
    assert tokenizer.tokenize("A red cat, soft shadows") == [
        "a</w>", "red</w>", "cat</w>", ",</w>", "soft</w>", "shadows</w>",
    ]  # fmt: skip
    assert tokenizer("a cat")["input_ids"][-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokenizer("zyx ünd 42")["input_ids"], skip_special_tokens=True)


@pytest.mark.parametrize("which", ["clip", "heldout"])
def test_models_embed_and_learn_from_pairs(which, tokenizer):
    from importlib import import_module

    model = import_module(f"models.embedded.{which}").build(tokenizer)
    pictures = np.stack([draw_scene(*sample_rated(random.Random(k))) for k in range(2)])
    images, _ = embed_images(model, normalise(pictures))
    texts = embed_texts(model, tokenizer, ["a cat", "a red car at night"])
    assert images.shape == texts.shape
    loss = pair_loss(model, tokenizer, shown_pairs(held_out_pairs(4)))
    loss.backward()
    assert torch.isfinite(loss)
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.skipif(not (FOLDER / "model.safetensors").exists(), reason="no shipped weights")
def test_shipped_preference_model_prefers_as_the_world_does():
    from models.embedded.contrast import load_encoder

    assert accuracy(*load_encoder(FOLDER), held_out_pairs(100)) > 0.75
