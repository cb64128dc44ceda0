"""ImageReward: BLIP reads the picture while encoding the intent; an MLP on [CLS] gives the reward.

Xu et al. 2023, arXiv 2304.05977; `ImageReward.pt` and `med_config.json` of
https://huggingface.co/THUDM/ImageReward.  Layout: THUDM/ImageReward, ImageReward/ImageReward.py
(class ImageReward) and models/BLIP/{blip_pretrain,vit,med}.py: `blip.visual_encoder.*` (a timm
ViT), `blip.text_encoder.*` (a BERT with cross-attention), `blip.{vision,text}_proj.*` (unused),
`mlp.layers.{0,2,4,6,7}.*`.  The package itself does not import under transformers 5, so the same
weights are put into transformers' BlipVisionModel and BlipTextModel; the renaming follows
transformers' convert_blip_original_pytorch_to_hf.py.  `model` is the folder of the tokenizer
(google-bert/bert-base-uncased) with a `config.json`: med_config.json or any BERT config.
"""

import re
from typing import Any

import numpy as np
from PIL import Image

from models.device import pick_device, pick_dtype
from models.loading import fill, load_state, load_tokenizer
from models.scorers.base import Scorer, ScorerIdentity, cut_intents
from models.scorers.laion import make_head
from models.scorers.pixels import Pixels
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError
from schemas.settings import ScorerSettings

# Of the published model (ImageReward.py): rewards are standardised by these.
MEAN, STD = 0.16717362830052426, 1.0333394966054072
TEXT_LENGTH = 35  # tokens, padded to; as published
HEAD_WIDTH = 64  # of every ViT and BERT that BLIP uses: 1024 / 16, 768 / 12

_VISION = (
    (r"^blocks\.", "encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.projection."),
    (r"\.attn\.", ".self_attn."),
    (r"\.norm([12])\.", r".layer_norm\1."),
    (r"^norm\.", "post_layernorm."),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^cls_token$", "embeddings.class_embedding"),
)


def vision_name(key: str) -> str:
    """Name of a timm ViT tensor in transformers' BlipVisionModel."""
    for pattern, name in _VISION:
        key = re.sub(pattern, name, key)
    return key


def split(state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """(vision, text, head) tensors of a published state, named as our modules name them."""
    vision, text, head = {}, {}, {}
    for key, value in state.items():
        if key.startswith("blip.visual_encoder."):
            vision[vision_name(key.removeprefix("blip.visual_encoder."))] = value
        elif key.startswith("blip.text_encoder."):
            text[key.removeprefix("blip.text_encoder.")] = value
        elif key.startswith("mlp."):
            head[key.removeprefix("mlp.")] = value
        elif not key.startswith(("blip.vision_proj.", "blip.text_proj.")):
            raise ModelError(f"{key!r} is no tensor of an ImageReward checkpoint.")
    text.pop("embeddings.position_ids", None)  # a counter that old transformers saved
    if not (vision and text and head):
        raise ModelError(
            "An ImageReward checkpoint has blip.visual_encoder, blip.text_encoder, mlp."
        )
    return vision, text, head


def build(vision: dict[str, Any], text: dict[str, Any]) -> tuple[Any, Any]:
    """Empty BLIP encoders of the sizes that the tensors have."""
    from transformers import BlipTextConfig, BlipVisionConfig
    from transformers.models.blip.modeling_blip import BlipVisionModel
    from transformers.models.blip.modeling_blip_text import BlipTextModel

    patches = vision["embeddings.patch_embedding.weight"]
    positions = vision["embeddings.position_embedding"].shape[1] - 1
    seen = BlipVisionConfig(
        hidden_size=patches.shape[0],
        patch_size=patches.shape[-1],
        image_size=int(positions**0.5) * patches.shape[-1],
        num_hidden_layers=_layers(vision),
        num_attention_heads=patches.shape[0] // HEAD_WIDTH,
        intermediate_size=vision["encoder.layers.0.mlp.fc1.weight"].shape[0],
        layer_norm_eps=1e-6,  # vit.py: partial(nn.LayerNorm, eps=1e-6)
    )
    words, width = text["embeddings.word_embeddings.weight"].shape
    read = BlipTextConfig(
        vocab_size=words,
        hidden_size=width,
        encoder_hidden_size=text["encoder.layer.0.crossattention.self.key.weight"].shape[1],
        intermediate_size=text["encoder.layer.0.intermediate.dense.weight"].shape[0],
        num_hidden_layers=_layers(text),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=text["embeddings.position_embeddings.weight"].shape[0],
        is_decoder=True,  # in transformers this is what gives a layer cross-attention
    )
    return BlipVisionModel(seen), BlipTextModel(read, add_pooling_layer=False)


def _layers(state: dict[str, Any]) -> int:
    found = (re.match(r"encoder\.layers?\.(\d+)\.", key) for key in state)
    return 1 + max(int(match[1]) for match in found if match)


class ImageReward(Scorer):
    """Reward of picture and intent, standardised: 0 is the mean of its training set."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        super().__init__(settings, identity)
        assert found.folder is not None
        assert found.head is not None
        self.device = pick_device(settings.device, f"scorer {settings.name}.device")
        self.dtype = pick_dtype(settings.dtype, self.device)
        vision, text, head = split(load_state(found.head))
        seen, read = build(vision, text)
        self.vision = self._ready(fill(seen, vision, found.head))
        self.text = self._ready(fill(read, text, found.head))
        self.head = make_head(head, self.text.config.hidden_size, found.head).to(self.device)
        side = self.vision.config.image_size
        self.pixels = Pixels((side, side), side)
        self.tokenizer = load_tokenizer(found.folder)

    def _ready(self, module: Any) -> Any:
        return module.to(self.device, self.dtype).eval().requires_grad_(False)

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        cut_intents(self.settings.name, self.tokenizer, intents, TEXT_LENGTH)
        tokens = self.tokenizer(
            intents,
            padding="max_length",
            truncation=True,
            max_length=TEXT_LENGTH,
            return_tensors="pt",
        ).to(self.device)
        with torch.inference_mode():
            pixels = torch.from_numpy(self.pixels(images)).to(self.device, self.dtype)
            seen = self.vision(pixel_values=pixels).last_hidden_state
            read = self.text(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask,
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:-1], device=self.device),
                is_decoder=False,  # every token sees every token
                use_cache=False,
            ).last_hidden_state[:, 0]
            reward = self.head(read.float()).squeeze(-1).double().cpu().numpy()
        return (reward - MEAN) / STD
