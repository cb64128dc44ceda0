"""Every scorer loads its published layout and computes what its authors' code does."""

import numpy as np
import pytest
import torch

from models.scorers import load_scorer
from models.scorers.pixels import Pixels
from models.scorers.vqa import QUESTION, YES
from schemas.settings import ScorerSettings
from tests.models.scorers import miniatures


def settings(name, model, measures="preference", **more):
    return ScorerSettings(name=name, model=str(model), measures=measures, batch=2, **more)


def clip_logits(folder, pictures, intents):
    """What transformers' own processor and model say, one pair at a time."""
    from transformers import AutoModel, AutoTokenizer, CLIPImageProcessorPil

    model = AutoModel.from_pretrained(folder).eval()
    pixels = CLIPImageProcessorPil.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    values = []
    for picture, intent in zip(pictures, intents, strict=True):
        inputs = tokenizer([intent], return_tensors="pt")
        inputs["pixel_values"] = pixels(picture, return_tensors="pt").pixel_values
        with torch.no_grad():
            values.append(model(**inputs).logits_per_image.item())
    return np.array(values)


def test_pickscore_is_the_scaled_cosine_of_transformers(clip, pictures, intents):
    scores = load_scorer(settings("pickscore", clip)).score(pictures, intents)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, clip_logits(clip, pictures, intents), atol=2e-4)
    assert scores.std() > 0.01


def test_clip_score_is_a_hundred_times_the_cosine(clip, pictures, intents):
    scores = load_scorer(settings("clip_score", clip, "alignment")).score(pictures, intents)
    scale = np.exp(2.6592)
    expected = 100 * np.maximum(clip_logits(clip, pictures, intents) / scale, 0)
    np.testing.assert_allclose(scores, expected, atol=2e-3)


def test_a_siglip_model_serves_as_preference_model(siglip, pictures, intents):
    from transformers import AutoTokenizer, SiglipImageProcessorPil, SiglipModel

    scores = load_scorer(settings("pickscore", siglip, "held_out")).score(pictures, intents)
    model = SiglipModel.from_pretrained(siglip).eval()
    tokens = AutoTokenizer.from_pretrained(siglip)(
        intents, padding="max_length", max_length=16, return_tensors="pt"
    )
    pixels = SiglipImageProcessorPil.from_pretrained(siglip)(pictures, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=tokens.input_ids, pixel_values=pixels.pixel_values)
    np.testing.assert_allclose(scores, logits.logits_per_image.diagonal().numpy(), atol=2e-4)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_laion_aesthetics_is_the_head_on_normalised_embeddings(clip, pictures, tmp_path, ending):
    from transformers import CLIPImageProcessorPil, CLIPModel

    reference = miniatures.laion_head(tmp_path / f"head{ending}")
    scorer = load_scorer(
        settings("laion_aesthetics", clip, "aesthetics", head=str(tmp_path / f"head{ending}"))
    )
    pixels = CLIPImageProcessorPil.from_pretrained(clip)(pictures, return_tensors="pt")
    with torch.no_grad():
        model = CLIPModel.from_pretrained(clip).eval()
        embedded = model.get_image_features(**pixels).pooler_output
        expected = reference(embedded / embedded.norm(dim=-1, keepdim=True))[:, 0]
    np.testing.assert_allclose(scorer.score(pictures), expected.numpy(), atol=1e-4)


def test_the_published_laion_head_loads(tmp_path, pictures, public_data):
    folder = miniatures.clip(tmp_path / "clip-768", width=768)
    head = public_data / "sac+logos+ava1-l14-linearMSE.pth"
    scorer = load_scorer(settings("laion_aesthetics", folder, "aesthetics", head=str(head)))
    scores = scorer.score(pictures)
    # The embeddings are of random weights, the head is the real one: ratings of a 1-to-10 scale.
    assert np.isfinite(scores).all()
    assert (np.abs(scores) < 15).all()


def test_hpsv2_is_open_clip_reread(hpsv2, pictures, intents):
    folder, checkpoint, reference = hpsv2
    scores = load_scorer(settings("hpsv2", folder, head=str(checkpoint))).score(pictures, intents)
    from transformers import AutoTokenizer

    ids = torch.zeros(len(intents), 77, dtype=torch.long)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row, intent in zip(ids, intents, strict=True):
        tokens = tokenizer(intent).input_ids
        row[: len(tokens)] = torch.tensor(tokens)
    pixels = Pixels((miniatures.SIDE, miniatures.SIDE), pad=True)(pictures)
    with torch.no_grad():
        seen = torch.nn.functional.normalize(reference.visual(torch.from_numpy(pixels)))
        read = torch.nn.functional.normalize(reference.encode_text(ids))
    np.testing.assert_allclose(scores, (seen * read).sum(-1).numpy(), atol=1e-5)
    assert scores.std() > 0.01


def test_image_reward_is_blip_reread(image_reward, pictures, intents):
    folder, checkpoint, reference = image_reward
    scorer = load_scorer(settings("image_reward", folder, "held_out", head=str(checkpoint)))
    from transformers import BertTokenizer

    tokens = BertTokenizer.from_pretrained(folder)(
        intents, padding="max_length", truncation=True, max_length=35, return_tensors="pt"
    )
    pixels = torch.from_numpy(Pixels((miniatures.SIDE,) * 2, miniatures.SIDE)(pictures))
    with torch.no_grad():
        expected = reference(pixels, tokens.input_ids, tokens.attention_mask)
    scores = scorer.score(pictures, intents)
    np.testing.assert_allclose(scores, expected.numpy(), atol=1e-4)
    assert scores.std() > 1e-3


def yes_of(folder, picture, intent):
    """P("yes") + P("Yes") as plain transformers has it; arXiv 2404.01291, equation 2."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    processor = AutoProcessor.from_pretrained(folder)
    content = [{"type": "image"}, {"type": "text", "text": QUESTION.format(intent)}]
    asked = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    inputs = processor(images=picture, text=asked, return_tensors="pt")
    with torch.no_grad():
        logits = AutoModelForImageTextToText.from_pretrained(folder)(**inputs).logits[0, -1]
    chances = logits.softmax(-1)
    words = processor.tokenizer.get_vocab()
    return float(sum(chances[words[word]] for word in YES if word in words))


def test_vqa_score_is_the_probability_of_yes(llava, pictures, intents):
    scorer = load_scorer(settings("vqa_score", llava, "alignment"))
    scores = scorer.score(pictures, intents)
    expected = [yes_of(llava, p, i) for p, i in zip(pictures, intents, strict=True)]
    np.testing.assert_allclose(scores, expected, rtol=1e-4)
    alone = [scorer.score([p], [i])[0] for p, i in zip(pictures, intents, strict=True)]
    np.testing.assert_allclose(scores, alone, atol=1e-5)  # padding does not leak in
    assert scores.std() > 1e-5


def test_pixels_are_those_of_the_library(clip, pictures):
    from transformers import CLIPImageProcessorPil

    expected = CLIPImageProcessorPil.from_pretrained(clip)(pictures, return_tensors="np")
    ours = Pixels.from_folder(clip, 999)(pictures)
    np.testing.assert_allclose(ours, np.stack(expected.pixel_values), atol=1e-5)
