"""The computed encoder keeps what a picture shows, before any training."""

import numpy as np
import pytest

from models.embedded import autoencoder
from models.embedded.dataset import scene_of
from models.world.draw import draw_scene


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.stack([draw_scene(*scene_of(5, index)) for index in range(120)])


def test_latents_explain_the_blocks(pictures: np.ndarray) -> None:
    vae = autoencoder.build()
    autoencoder.fit_encoder(vae, pictures)
    latents = autoencoder.encode(vae, pictures)
    flat = np.c_[latents.transpose(0, 2, 3, 1).reshape(-1, 24), np.ones(120 * 64)]
    blocks = pictures.reshape(-1, 8, 8, 8, 8, 3).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 192)
    blocks = blocks.astype(np.float64) / 255
    weights, *_ = np.linalg.lstsq(flat, blocks, rcond=None)
    error = ((flat @ weights - blocks) ** 2).mean()
    assert -10 * np.log10(error) > 24  # dB


def test_reading_off_the_matrix_equals_running_the_encoder(pictures: np.ndarray) -> None:
    vae = autoencoder.build().requires_grad_(False)
    autoencoder.fit_encoder(vae, pictures)
    slow = vae.encode(autoencoder.to_tensor(pictures[:4])).latent_dist.mean.numpy()
    fast = autoencoder.encode(vae, pictures[:4])
    assert np.abs(slow - fast).max() < 0.01
