"""What is wrong with a checkpoint, a setting or a prompt is said, with the file and its hash."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models import weights
from models.tis import describe_tis, load_tis
from models.tis.load import place
from schemas.errors import ModelError, PromptTooLong, SettingsError
from schemas.settings import LoraSettings, TisSettings


def settings(folder, **more):
    return TisSettings(**({"model": str(folder), "steps": 1, "batch": 4} | more))


@pytest.fixture
def copy(sd15, tmp_path):
    """A copy of the Stable Diffusion miniature to damage."""
    return Path(shutil.copytree(sd15, tmp_path / "copy"))


UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("given", ["no/such/folder", "/no/such/folder"])
def test_a_folder_that_is_not_there(given):
    with pytest.raises(ModelError, match="There is no checkpoint at"):
        load_tis(settings(given))


def test_a_hub_id_that_is_not_in_the_cache_says_what_to_do():
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        describe_tis(settings("nobody/no-such-model"))


def test_a_folder_that_is_no_pipeline(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="no diffusers pipeline: it is a folder without"):
        load_tis(settings(tmp_path))


def test_a_single_file(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="from_single_file"):
        load_tis(settings(tmp_path / "model.safetensors"))


def test_an_image_to_image_pipeline_is_refused(copy):
    index = json.loads((copy / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionInstructPix2PixPipeline"
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="does not turn a prompt alone into a picture"):
        load_tis(settings(copy))


def test_an_image_to_image_folder_of_the_same_parts_renders_text(copy):
    index = json.loads((copy / "model_index.json").read_text())
    index["_class_name"] = "StableDiffusionImg2ImgPipeline"
    (copy / "model_index.json").write_text(json.dumps(index))
    assert len(load_tis(settings(copy)).render(["a cat"], [0])) == 1


def test_a_pipeline_that_diffusers_does_not_know(copy):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "MyPipeline"}))
    with pytest.raises(ModelError, match="remote code"):
        load_tis(settings(copy))


def test_components_of_other_libraries_are_refused(copy):
    index = json.loads((copy / "model_index.json").read_text()) | {"unet": ["my_unet", "Net"]}
    (copy / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="'my_unet'"):
        load_tis(settings(copy))


def test_truncated_weights_are_named_with_their_hash(copy):
    path = copy / UNET
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError) as caught:
        load_tis(settings(copy))
    assert str(path) in str(caught.value)
    assert weights.sha256(path) in str(caught.value)


def test_flipped_bytes_are_found_by_the_sums_and_named(copy):
    weights.write_sums(copy)
    load_tis(settings(copy))
    path = copy / UNET
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is corrupt: its SHA-256 is") as caught:
        load_tis(settings(copy))
    assert weights.sha256(path) in str(caught.value)


def test_sums_do_not_change_the_identity(copy):
    before = describe_tis(settings(copy))
    weights.write_sums(copy)
    assert describe_tis(settings(copy)) == before


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_missing_weights(copy, part):
    for path in (copy / part).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(ModelError, match=f"{part} holds no weights"):
        load_tis(settings(copy))


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
def test_a_missing_tensor_is_never_made_up(copy, part):
    path = next((copy / part).glob("*.safetensors"))
    tensors = load_file(path)
    name = sorted(tensors)[-1]
    del tensors[name]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError) as caught:
        load_tis(settings(copy))
    assert name in str(caught.value)


def test_a_missing_component(copy):
    shutil.rmtree(copy / "vae")
    with pytest.raises(ModelError, match=r"lists vae \(AutoencoderKL\)"):
        load_tis(settings(copy))


def test_pickles_are_refused_with_the_reason(copy):
    path = copy / UNET
    torch.save(load_file(path), path.with_suffix(".bin"))
    path.unlink()
    with pytest.raises(ModelError, match="runs whatever code is in it"):
        load_tis(settings(copy))


def test_broken_json_names_the_file(copy):
    (copy / "model_index.json").write_text("{")
    with pytest.raises(ModelError, match=r"model_index\.json is not valid JSON"):
        describe_tis(settings(copy))


def test_a_device_that_is_not_there(sd15):
    with pytest.raises(SettingsError, match=r"tis.device = 'cuda:7'"):
        load_tis(settings(sd15, device="cuda:7"))


def test_offload_needs_an_accelerator(sd15):
    with pytest.raises(SettingsError, match=r"tis\.offload"):
        load_tis(settings(sd15, device="cpu", offload="model"))


def test_nothing_is_rendered_when_one_prompt_is_too_long(sd15, monkeypatch):
    tis = load_tis(settings(sd15))
    monkeypatch.setattr(tis, "pipeline", None)  # would fail if it were called
    with pytest.raises(PromptTooLong, match="has 80 tokens"):
        tis.render(["a cat", "a " * 80], [0, 1])


def test_a_long_negative_prompt_is_not_cut_either(sd15):
    with pytest.raises(PromptTooLong):
        load_tis(settings(sd15, negative_prompt="a " * 80)).render(["a cat"], [0])


def test_prompts_and_seeds_must_pair(sd15):
    with pytest.raises(ValueError, match="2 prompts but 1 seeds"):
        load_tis(settings(sd15)).render(["a cat", "a dog"], [0])


class Starved:
    """A pipeline on a device with room for `room` pictures."""

    def __init__(self, pipeline, room):
        self.pipeline, self.room, self.sizes = pipeline, room, []

    def __call__(self, prompt, **arguments):
        self.sizes.append(len(prompt))
        if len(prompt) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return self.pipeline(prompt=prompt, **arguments)


def test_out_of_memory_halves_the_batch_and_keeps_it(sd15):
    tis = load_tis(settings(sd15, batch=8))
    expected = tis.render(["a cat"] * 9, range(9))
    tis.pipeline = Starved(tis.pipeline, room=2)
    images = tis.render(["a cat"] * 9, range(9))
    assert tis.pipeline.sizes == [8, 4, 2, 2, 2, 2, 1]
    for image, before in zip(images, expected, strict=True):
        assert np.abs(np.asarray(image, int) - np.asarray(before, int)).max() <= 1


def test_no_room_for_a_single_picture_says_what_to_lower(sd15):
    tis = load_tis(settings(sd15))
    tis.pipeline = Starved(tis.pipeline, room=0)
    with pytest.raises(ModelError, match=r"tis.width.*vae_slicing.*offload"):
        tis.render(["a cat"], [0])


def test_overflow_is_an_error_not_a_black_picture(sd15):
    tis = load_tis(settings(sd15))
    with torch.no_grad():
        tis.pipeline.vae.decoder.conv_out.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="NaN"):
        tis.render(["a cat"], [0])


def test_describing_needs_no_torch(sd15):
    code = (
        "import sys; from models.tis import describe_tis, load_token_counter\n"
        "import models.scorers\n"
        "from schemas.settings import TisSettings\n"
        f"s = TisSettings(model={str(sd15)!r})\n"
        "assert describe_tis(s).token_budget == 75\n"
        "assert load_token_counter(s)('a red fox') == 3\n"
        "assert not {'torch', 'transformers', 'diffusers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=weights.PROJECT)


def test_identity_is_of_what_determines_a_picture(sd15, tmp_path):
    plain = describe_tis(settings(sd15))
    elsewhere = Path(shutil.copytree(sd15, tmp_path / "elsewhere"))
    (elsewhere / "README.md").write_text("a card")
    same = describe_tis(settings(elsewhere, batch=1, device="cpu", vae_slicing=True))
    assert (same.tis_id, same.weights_hash) == (plain.tis_id, plain.weights_hash)
    assert describe_tis(settings(sd15, guidance=1.0)).tis_id != plain.tis_id
    scheduler = elsewhere / "scheduler/scheduler_config.json"
    scheduler.write_text(scheduler.read_text().replace("0.012", "0.013"))
    assert describe_tis(settings(elsewhere)).weights_hash != plain.weights_hash


def write_lora(folder, base):
    from diffusers import DiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    torch.manual_seed(0)
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.unet.add_adapter(
        LoraConfig(r=2, init_lora_weights="gaussian", target_modules=["to_q", "to_v"])
    )
    state = get_peft_model_state_dict(pipeline.unet)
    state = {name: torch.randn_like(value) for name, value in state.items()}
    pipeline.save_lora_weights(folder, unet_lora_layers=state)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_a_lora_changes_pictures_and_identity(family, name, tmp_path):
    write_lora(tmp_path, family(name))

    def render(*scales):
        loras = tuple(LoraSettings(path=str(tmp_path), scale=scale) for scale in scales)
        given = settings(family(name), loras=loras, steps=2, width=32, height=32)
        picture = load_tis(given).render(["a cat"], [0])[0]
        return np.asarray(picture, int), describe_tis(given).tis_id

    plain, plain_id = render()
    full, full_id = render(1.0)
    none, none_id = render(0.0)
    assert np.abs(full - plain).max() > 1
    assert np.abs(none - plain).max() <= 1
    assert len({plain_id, full_id, none_id}) == 3


def test_a_lora_that_is_not_there(sd15, tmp_path):
    with pytest.raises(ModelError, match="exactly one safetensors file"):
        describe_tis(settings(sd15, loras=(LoraSettings(path=str(tmp_path)),)))


def test_counting_without_tokenizer_json_is_clips(sd15, copy, public_data):
    from transformers import CLIPTokenizer

    from models.tis import load_token_counter

    (copy / "tokenizer/tokenizer.json").unlink()
    count = load_token_counter(settings(copy))
    reference = CLIPTokenizer.from_pretrained(copy / "tokenizer")
    prompts = (public_data / "pickapic_prompts.txt").read_text(encoding="utf-8").splitlines()
    for prompt in prompts[::20]:
        ids = reference(prompt, add_special_tokens=False, truncation=False).input_ids
        assert count(prompt) == len(ids), prompt


def test_a_budget_beyond_what_the_encoder_reads_is_refused(sd15):
    assert describe_tis(settings(sd15, token_budget=20)).token_budget == 20
    with pytest.raises(SettingsError, match=r"token_budget = 76.* reads 75"):
        describe_tis(settings(sd15, token_budget=76))


def test_a_length_that_the_pipeline_would_refuse_is_refused_before_it_renders(family):
    with pytest.raises(SettingsError, match=r"max_sequence_length = 600.* 512 at most"):
        describe_tis(settings(family("flux"), max_sequence_length=600))


def test_a_model_that_does_not_fit_says_what_to_do(sd15, monkeypatch):
    from diffusers import DiffusionPipeline

    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(DiffusionPipeline, "to", full)
    with pytest.raises(ModelError, match=r"does not fit into the memory of cpu.*tis\.offload"):
        load_tis(settings(sd15))


def test_a_lora_of_another_model_is_refused(sd15, family, tmp_path):
    write_lora(tmp_path, family("sdxl"))
    with pytest.raises(ModelError, match="LoRA"):
        load_tis(settings(sd15, loras=(LoraSettings(path=str(tmp_path)),)))


def test_compiling_and_offloading_are_handed_to_the_libraries(sd15, monkeypatch):
    from diffusers import DiffusionPipeline, UNet2DConditionModel

    called = []
    monkeypatch.setattr(UNet2DConditionModel, "compile", lambda *_: called.append("compile"))
    for kind in ("model", "sequential"):
        monkeypatch.setattr(
            DiffusionPipeline,
            f"enable_{kind}_cpu_offload",
            lambda *_, kind=kind, **where: called.append((kind, where["device"])),
        )
    pipeline = load_tis(settings(sd15, compile=True)).pipeline
    for kind in ("model", "sequential"):
        place(pipeline, settings(sd15, offload=kind), "cuda")
    assert called == ["compile", ("model", "cuda"), ("sequential", "cuda")]
