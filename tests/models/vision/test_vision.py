"""What describes pictures and what refuses them."""

import json
from pathlib import Path

import pytest
from PIL import Image

from models.vision import load_captioner, load_picture_filter
from models.vision.caption import joined, plural, subjects
from models.world.draw import draw_scene
from models.world.scene import Group, Scene
from schemas.chatting import CaptionerSettings, PictureSafetySettings
from schemas.errors import ModelError, SettingsError
from schemas.settings import load_settings

DRAWN = (
    ("house", "red"), ("car", "blue"), ("star", "yellow"), ("tree", "green"),
    ("flower", "purple"), ("boat", "white"), ("mushroom", "red"), ("fish", "orange"),
)  # fmt: skip


def test_the_interrogator_sees_most_of_what_is_drawn():
    vocabulary = load_settings("embedded").teacher.vocabulary
    describe = load_captioner(CaptionerSettings(), vocabulary)
    said = []
    for kind, colour in DRAWN:
        scene = Scene((Group(kind, colour),), time="day")
        said.append(describe(Image.fromarray(draw_scene(scene, 3))))
    pairs = list(zip(DRAWN, said, strict=True))
    assert sum(kind in told for (kind, _), told in pairs) >= 6, said
    assert sum(colour in told for (_, colour), told in pairs) >= 6, said
    listed = {word for words in vocabulary.values() for phrase in words for word in phrase.split()}
    listed |= {"a", "an", "two", "three"}
    assert all(word.strip(",") in listed or word.strip(",").removesuffix("s") in listed
               for told in said for word in told.split()), said  # fmt: skip


def test_words_are_joined_as_english_does():
    assert joined("a cat", "in a meadow") == "a cat in a meadow"
    assert joined("a cat", "neon glow") == "a cat, neon glow"
    owls = ["an owl", "two owls", "three owls", "a red owl", "two red owls", "three red owls"]
    assert subjects(["owl"], ["red"]) == owls
    assert (plural("fish"), plural("fox")) == ("fish", "foxes")


def test_without_words_to_choose_from_it_says_what_to_set():
    with pytest.raises(SettingsError, match=r"teacher\.vocabulary"):
        load_captioner(CaptionerSettings(), {})


@pytest.fixture
def classifier(tmp_path):
    """A vision transformer with random weights whose bias makes it say the second label."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32,
                       intermediate_size=16, patch_size=16, id2label={0: "normal", 1: "NSFW"},
                       label2id={"normal": 0, "NSFW": 1})  # fmt: skip
    model = ViTForImageClassification(config)
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.copy_(torch.tensor([0.0, 2.0]))
    model.save_pretrained(tmp_path)
    size = {"height": 32, "width": 32}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": size}))
    return str(tmp_path)


def test_a_classifier_of_the_profile_refuses_pictures(classifier):
    picture = Image.new("RGB", (50, 40), "red")
    found = load_picture_filter(PictureSafetySettings(model=classifier))
    assert found(picture) == "NSFW"  # exp(2) / (1 + exp(2)) = 0.88
    lenient = load_picture_filter(PictureSafetySettings(model=classifier, threshold=0.9))
    assert lenient(picture) is None


def test_a_classifier_without_such_a_label_is_no_filter(classifier):
    with pytest.raises(ModelError, match="normal, NSFW"):
        load_picture_filter(PictureSafetySettings(model=classifier, labels=("gore",)))


@pytest.mark.parametrize("profile", ["paper", "modern"])
def test_the_other_profiles_refuse_by_the_labels_of_the_classifier_they_name(
    profile, classifier, monkeypatch
):
    """Falconsai's is a ViTForImageClassification with the labels normal and nsfw, as ours here."""
    named = load_settings(profile).chat.picture_safety
    assert named.model
    monkeypatch.setattr("models.vision.safety.resolve", lambda model: Path(classifier))
    assert load_picture_filter(named)(Image.new("RGB", (50, 40), "red")) == "NSFW"


def test_without_a_classifier_there_is_no_filter():
    assert load_settings("embedded").chat.picture_safety.model is None
    assert load_picture_filter(PictureSafetySettings()) is None


def test_any_image_to_text_model_describes(tmp_path):
    from transformers import BlipConfig, BlipForConditionalGeneration

    from tests.models.train.miniatures import tokenizer

    words = tokenizer()
    text = {"vocab_size": len(words), "hidden_size": 16, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 16, "encoder_hidden_size": 16,
            "projection_dim": 16, "bos_token_id": 0, "pad_token_id": 2, "eos_token_id": 1,
            "sep_token_id": 1}  # fmt: skip
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
              "intermediate_size": 16, "image_size": 32, "patch_size": 16}  # fmt: skip
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16)
    BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    chosen = CaptionerSettings(kind="transformers", model=str(tmp_path))
    told = load_captioner(chosen, {})(Image.new("RGB", (50, 40), "red"))
    assert isinstance(told, str)
    assert "\n" not in told
