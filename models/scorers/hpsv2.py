"""HPSv2: human preference of picture and intent, an open_clip ViT-H/14 re-read as a CLIPModel.

Wu et al. 2023, arXiv 2306.09341; `HPS_v2_compressed.pt`, `HPS_v2.1_compressed.pt` of
https://huggingface.co/xswu/HPSv2 (the plain dictionary of tensors under `state_dict`).  Key names:
`CLIP`, `VisionTransformer`, `ResidualAttentionBlock` in
https://github.com/mlfoundations/open_clip (src/open_clip/model.py, transformer.py).  Sizes and
tokenizer come from the folder of the base model in transformers' layout,
laion/CLIP-ViT-H-14-laion2B-s32B-b79K.  The score is the cosine itself (tgxs002/HPSv2, score.py),
published values are around 0.27.
"""

import re
from typing import Any

import numpy as np
from PIL import Image

from models.device import pick_device, pick_dtype
from models.loading import fill, load_state, load_tokenizer
from models.scorers.base import Scorer, ScorerIdentity
from models.scorers.contrastive import ImageTextModel
from models.scorers.pixels import Pixels
from models.scorers.registry import Checkpoint
from schemas.errors import ModelError
from schemas.settings import ScorerSettings

_BLOCK = re.compile(r"^(?P<tower>visual\.)?transformer\.resblocks\.(?P<n>\d+)\.(?P<rest>.+)$")
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
_OUTSIDE = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",  # transformers' own spelling
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "logit_scale": "logit_scale",
}


def from_open_clip(state: dict[str, Any]) -> dict[str, Any]:
    """Tensors named by open_clip's `CLIP` to the names of transformers' `CLIPModel`.

    Raises ModelError for a key that open_clip's CLIP does not have.
    """
    named = {}
    for key, value in state.items():
        block = _BLOCK.match(key)
        if block:
            tower = "vision_model" if block["tower"] else "text_model"
            prefix = f"{tower}.encoder.layers.{block['n']}."
            named |= {prefix + name: part for name, part in _block(block["rest"], value)}
        elif key in _OUTSIDE:
            named[_OUTSIDE[key]] = value
        elif key == "visual.proj":  # a matrix applied from the right; a Linear keeps its transpose
            named["visual_projection.weight"] = value.T.contiguous()
        elif key == "text_projection":
            named["text_projection.weight"] = value.T.contiguous()
        elif key != "attn_mask":
            raise ModelError(f"{key!r} is no tensor of an open_clip CLIP model.")
    return named


def _block(rest: str, value: Any) -> list[tuple[str, Any]]:
    name, _, kind = rest.rpartition(".")
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        parts = zip("qkv", value.chunk(3), strict=True)  # stacked: query, key, value
        return [(f"self_attn.{letter}_proj.{kind}", part) for letter, part in parts]
    if name not in _IN_BLOCK:
        raise ModelError(f"{rest!r} is no tensor of an open_clip transformer block.")
    return [(f"{_IN_BLOCK[name]}.{kind}", value)]


class OpenClipModel(ImageTextModel):
    """A CLIPModel of the folder's configuration with an open_clip checkpoint's weights."""

    def __init__(self, found: Checkpoint, settings: ScorerSettings):
        from transformers import CLIPConfig, CLIPModel

        assert found.folder is not None
        assert found.head is not None
        self.device = pick_device(settings.device, f"scorer {settings.name}.device")
        self.dtype = pick_dtype(settings.dtype, self.device)
        config: Any = CLIPConfig.from_pretrained(found.folder, local_files_only=True)
        model = fill(CLIPModel(config), from_open_clip(load_state(found.head)), found.head)
        self.model = model.to(self.device, self.dtype).eval().requires_grad_(False)
        side = config.vision_config.image_size
        self.pixels = Pixels((side, side), pad=True)
        self.text_length = int(config.text_config.max_position_embeddings)
        self.tokenizer = load_tokenizer(found.folder)
        self.siglip = False


class Hpsv2(Scorer):
    """Cosine of picture and intent under the preference-tuned CLIP."""

    def __init__(self, settings: ScorerSettings, identity: ScorerIdentity, found: Checkpoint):
        super().__init__(settings, identity)
        self.encoder = OpenClipModel(found, settings)

    def score_batch(self, images: list[Image.Image], intents: list[str]) -> np.ndarray:
        import torch

        with torch.inference_mode():
            return self.encoder.cosine(images, intents)
