"""Schedules and averages; and, slow, every text-to-image recipe for a few steps."""

import dataclasses
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
import torch

from models.embedded import autoencoder, diffusion, editing, training, transfer
from models.embedded.__main__ import STEPS, main
from models.embedded.dataset import batches
from schemas.errors import ModelError


def test_learning_rate_rises_stays_and_falls() -> None:
    rates = [training.learning_rate(s, 100, 1.0, warmup=10, decay=0.3) for s in range(100)]
    assert rates[0] < rates[9] == rates[50] == 1.0
    assert rates[75] > rates[90] > rates[99] > 0


def test_average_can_be_swapped_in_and_out() -> None:
    layer = torch.nn.Linear(2, 2)
    average = training.Average(layer.parameters(), 0.9)
    before = layer.weight.detach().clone()
    layer.weight.data += 1
    average.swap()
    assert torch.equal(layer.weight, before)
    average.swap()
    assert torch.equal(layer.weight, before + 1)


def test_batches_resume_where_they_stopped() -> None:
    whole = batches(10, 3, seed=1)
    first = [next(whole) for _ in range(7)]
    again = batches(10, 3, seed=1, start=4)
    for expected in first[4:]:
        assert np.array_equal(next(again), expected)


def test_timesteps_cover_the_range_and_prefer_high_noise() -> None:
    steps = diffusion.stratified(100, torch.Generator().manual_seed(0))
    assert 0 <= int(steps.min()) < 150 < 950 < int(steps.max()) < 1000
    assert 640 < float(steps.float().mean()) < 690


def test_edits_depend_on_the_seed_alone_and_show_one_instruction() -> None:
    edits = editing.edits_of(5, 12)
    assert edits == editing.edits_of(5, 20)[:12] != editing.edits_of(6, 12)
    assert all(edit.earlier is None and edit.instruction for edit, _ in edits)


def test_an_editing_model_starts_as_the_text_to_image_model_it_is_made_of() -> None:
    recipe = dataclasses.replace(editing.IP2P, channels=diffusion.SD.channels)
    first = diffusion.Networks(diffusion.SD).eval()
    assert diffusion.from_shipped(first, diffusion.WEIGHTS / "tis-sd")
    wide = diffusion.Networks(recipe, in_channels=2 * autoencoder.LATENT_CHANNELS).eval()
    editing.widen(wide, diffusion.WEIGHTS / "tis-sd")
    noisy, condition = torch.randn(2, 2, autoencoder.LATENT_CHANNELS, 8, 8)
    ids = torch.tensor([[1, 2, 3]] * 2)
    with torch.no_grad():
        alone = first(noisy, torch.tensor([5, 900]), ids)
        beside = wide(torch.cat([noisy, condition], dim=1), torch.tensor([5, 900]), ids)
    assert torch.allclose(alone, beside, atol=1e-5)


def test_an_editing_model_without_a_start_says_what_to_run(tmp_path: Path) -> None:
    networks = diffusion.Networks(editing.IP2P, in_channels=2 * autoencoder.LATENT_CHANNELS)
    with pytest.raises(ModelError, match=r"models\.embedded sd"):
        editing.widen(networks, tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_recipe_trains_and_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import diffusers

    monkeypatch.setenv("DIFFCHAT_HOME", str(tmp_path))
    for module in (autoencoder, diffusion, editing):
        monkeypatch.setattr(module, "WEIGHTS", tmp_path / "weights")
    autoencoder.train(1, pictures={"classic": 64})
    small = {"pictures": 64, "batch": 4, "text_steps": 2}
    diffusion.train(2, recipe=dataclasses.replace(diffusion.SD, **small))
    diffusion.train(2, recipe=dataclasses.replace(transfer.SDXL, **small))
    editing.train(2, recipe=dataclasses.replace(editing.IP2P, **small))
    for name in ("tis-sd", "tis-sdxl"):
        folder = tmp_path / "weights" / name
        pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
        picture = pipeline("a red car", num_inference_steps=2, height=64, width=64).images[0]
        assert picture.size == (64, 64)
    folder = tmp_path / "weights" / "tis-ip2p"
    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    edited = pipeline("make it blue", image=picture, num_inference_steps=2).images[0]
    assert edited.size == (64, 64)


@pytest.mark.parametrize("step", list(STEPS))
def test_every_step_can_be_called_as_the_command_line_calls_it(step: str) -> None:
    takes = inspect.signature(importlib.import_module(STEPS[step]).train).parameters
    assert "steps" in takes
    assert ("warm" in takes) == (step != "adherence")  # which does not ship


def test_what_does_not_ship_cannot_start_warm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["models.embedded", "adherence", "--warm"])
    with pytest.raises(SystemExit):
        main()
    assert "does not ship" in capsys.readouterr().err
