"""Wrong names, weights, files and counts are said; memory that runs out costs only time."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from models import weights
from models.scorers import describe_scorer, load_scorer
from schemas.errors import ModelError, SettingsError
from schemas.settings import ScorerSettings
from tests.models.scorers import miniatures


def settings(name, model, **more):
    given = {"name": name, "model": str(model), "measures": "preference", "batch": 8}
    return ScorerSettings(**(given | more))


@pytest.fixture
def copy(clip, tmp_path):
    return Path(shutil.copytree(clip, tmp_path / "copy"))


def test_an_unknown_scorer_lists_the_known():
    with pytest.raises(SettingsError, match="pickscore"):
        describe_scorer(settings("beauty", "x"))


def test_a_missing_folder():
    with pytest.raises(ModelError, match="There is no checkpoint"):
        describe_scorer(settings("pickscore", "no/such/folder"))


def test_other_weights_than_asked_for(clip):
    right = describe_scorer(settings("pickscore", clip)).weights_hash
    assert describe_scorer(settings("pickscore", clip, weight_hash=right)).weights_hash == right
    with pytest.raises(ModelError, match=f"hash to {right}"):
        describe_scorer(settings("pickscore", clip, weight_hash="0" * 32))


def test_a_head_is_asked_for(clip):
    with pytest.raises(SettingsError, match="needs a head"):
        describe_scorer(settings("laion_aesthetics", clip))
    with pytest.raises(SettingsError, match="needs `head`"):
        describe_scorer(settings("hpsv2", clip))


def test_a_head_of_another_width(clip, tmp_path):
    miniatures.laion_head(tmp_path / "head.pth", width=768)
    with pytest.raises(ModelError, match="embeddings of 768 values, the encoder gives 32"):
        load_scorer(settings("laion_aesthetics", clip, head=str(tmp_path / "head.pth")))


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_a_head_with_code_in_it_is_not_run(clip, tmp_path, capsys):
    path = tmp_path / "head.pth"
    torch.save({"layers.0.weight": Evil()}, path)
    with pytest.raises(ModelError, match="not readable as a file of plain tensors"):
        load_scorer(settings("laion_aesthetics", clip, head=str(path)))
    assert "code ran" not in capsys.readouterr().out


def test_pickled_models_are_refused(copy):
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="only safetensors"):
        load_scorer(settings("pickscore", copy))


def test_a_missing_tensor_is_never_made_up(copy):
    tensors = load_file(copy / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"visual_projection\.weight") as caught:
        load_scorer(settings("pickscore", copy))
    assert weights.sha256(copy / "model.safetensors") in str(caught.value)


def test_corrupt_weights_are_named(copy):
    weights.write_sums(copy)
    path = copy / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="is corrupt: its SHA-256"):
        load_scorer(settings("pickscore", copy))


def test_a_model_that_is_no_image_text_model(tmp_path):
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="CLIP- or SigLIP-type"):
        load_scorer(settings("pickscore", tmp_path))


def test_a_checkpoint_of_another_layout(hpsv2, image_reward):
    with pytest.raises(ModelError, match="no tensor of an open_clip"):
        load_scorer(settings("hpsv2", hpsv2[0], head=str(image_reward[1])))
    with pytest.raises(ModelError, match="no tensor of an ImageReward"):
        load_scorer(settings("image_reward", image_reward[0], head=str(hpsv2[1])))


def test_intents_must_pair_with_pictures(clip, pictures):
    scorer = load_scorer(settings("pickscore", clip))
    with pytest.raises(ValueError, match="need as many intents, got none"):
        scorer.score(pictures)
    with pytest.raises(ValueError, match="got 1"):
        scorer.score(pictures, ["a cat"])


def test_no_pictures_no_scores(clip):
    assert load_scorer(settings("pickscore", clip)).score([], []).shape == (0,)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1"])
def test_pictures_of_every_mode(clip, mode):
    picture = Image.new(mode, (40, 30))
    assert np.isfinite(load_scorer(settings("pickscore", clip)).score([picture], ["a cat"])).all()


def test_a_long_intent_is_cut_with_a_warning(clip, pictures, caplog):
    scorer = load_scorer(settings("pickscore", clip))
    scores = scorer.score(pictures[:2], ["a cat", "a red fox " * 60])
    assert np.isfinite(scores).all()
    assert "first 77 tokens of 1 intents" in caplog.text
    assert "a cat" not in caplog.text


def test_nan_stays_nan(clip, pictures, intents):
    scorer = load_scorer(settings("pickscore", clip))
    with torch.no_grad():
        scorer.encoder.model.visual_projection.weight.fill_(float("nan"))
    assert np.isnan(scorer.score(pictures, intents)).all()


def test_out_of_memory_halves_the_batch(clip, pictures, intents, monkeypatch):
    scorer = load_scorer(settings("pickscore", clip))
    expected = scorer.score(pictures, intents)
    inner, sizes = scorer.score_batch, []

    def starved(images, texts):
        sizes.append(len(images))
        if len(images) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return inner(images, texts)

    monkeypatch.setattr(scorer, "score_batch", starved)
    np.testing.assert_allclose(scorer.score(pictures, intents), expected, atol=1e-4)
    assert sizes == [5, 2, 2, 1]


def test_identity_is_of_weights_and_head(clip, tmp_path):
    miniatures.laion_head(tmp_path / "a.safetensors")
    first = settings("laion_aesthetics", clip, head=str(tmp_path / "a.safetensors"))
    assert not describe_scorer(first).reads_intent
    tensors = load_file(tmp_path / "a.safetensors")
    tensors["layers.7.bias"] += 1
    save_file(tensors, tmp_path / "b.safetensors")
    second = settings("laion_aesthetics", clip, head=str(tmp_path / "b.safetensors"))
    assert describe_scorer(first).scorer_id != describe_scorer(second).scorer_id
    again = first.model_copy(update={"batch": 1, "device": "cpu"})
    assert describe_scorer(again) == describe_scorer(first)


def test_an_image_text_model_that_cannot_say_yes_is_refused(tmp_path):
    folder = miniatures.llava(tmp_path)
    path = folder / "tokenizer.json"
    path.write_text(path.read_text().replace('"yes"', '"aye"').replace('"Yes"', '"Aye"'))
    with pytest.raises(ModelError, match="no single token for 'yes'"):
        load_scorer(settings("vqa_score", folder))


def test_an_image_text_model_without_a_chat_template_is_refused(tmp_path):
    folder = miniatures.llava(tmp_path)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        load_scorer(settings("vqa_score", folder))
