"""Miniature scorer checkpoints with random weights in the layouts that are published.

Sources of the key lists stand in the docstrings.  The reference models of HPSv2 (open_clip) and
ImageReward (BLIP) are written here from those sources, not from our loaders.
"""

import json
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from tests.models.tis.miniatures import WORDS, write_clip_tokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz"
SIDE = 32


def write_pixels(folder: Path, **config) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def clip(folder: Path, width: int = 32) -> Path:
    """CLIPModel, the layout of openai/clip-vit-large-patch14 and yuvalkirstain/PickScore_v1."""
    from transformers import CLIPModel

    torch.manual_seed(1)
    words = write_clip_tokenizer(folder)
    CLIPModel(clip_config(words, width)).save_pretrained(folder)
    write_pixels(
        folder,
        image_processor_type="CLIPImageProcessor",
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        do_resize=True,
        do_center_crop=True,
        do_normalize=True,
        resample=3,
        image_mean=[0.48145466, 0.4578275, 0.40821073],
        image_std=[0.26862954, 0.26130258, 0.27577711],
    )
    return folder


def clip_config(words: int, width: int = 32, act: str = "quick_gelu"):
    from transformers import CLIPConfig

    tower = {
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "hidden_act": act,
        "initializer_range": 0.3,
    }
    text = tower | {
        "vocab_size": words,
        "hidden_size": 24,
        "intermediate_size": 48,
        "max_position_embeddings": 77,
        "bos_token_id": words - 2,
        "eos_token_id": words - 1,
        "pad_token_id": words - 1,
    }
    vision = tower | {
        "hidden_size": 20,
        "intermediate_size": 40,
        "image_size": SIDE,
        "patch_size": 16,
    }
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=width)


def siglip(folder: Path) -> Path:
    """SiglipModel, the layout of google/siglip-base-patch16-224 (tokenizer: fast, unigram-like)."""
    from transformers import SiglipConfig, SiglipModel

    torch.manual_seed(2)
    words = write_word_tokenizer(folder, pad="<pad>", unk="<unk>", eos="</s>")
    tower = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 24}
    tower |= {"intermediate_size": 48}
    config = SiglipConfig(
        text_config=tower | {"vocab_size": words, "max_position_embeddings": 16},
        vision_config=tower | {"image_size": SIDE, "patch_size": 16},
    )
    SiglipModel(config).save_pretrained(folder)
    write_pixels(
        folder,
        image_processor_type="SiglipImageProcessor",
        size={"height": SIDE, "width": SIDE},
        resample=3,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return folder


def write_word_tokenizer(folder: Path, *, pad: str, unk: str, eos: str, more=()) -> int:
    """A tokenizer.json of whole words; returns the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    known = dict.fromkeys([pad, eos, unk, *more, *WORDS, *LETTERS, "yes", "Yes", "no"])
    vocabulary = {word: i for i, word in enumerate(known)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=unk))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([pad, eos, *more])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unk, eos_token=eos
    )
    fast.save_pretrained(folder)
    return len(vocabulary)


def laion_head(path: Path, width: int = 32) -> nn.Sequential:
    """The head of sac+logos+ava1-l14-linearMSE.pth, saved by the ending of `path`.

    christophschuhmann/improved-aesthetic-predictor, simple_inference.py, class MLP.
    """
    torch.manual_seed(3)
    layers = nn.Sequential(
        nn.Linear(width, 1024),
        nn.Dropout(0.2),
        nn.Linear(1024, 128),
        nn.Dropout(0.2),
        nn.Linear(128, 64),
        nn.Dropout(0.1),
        nn.Linear(64, 16),
        nn.Linear(16, 1),
    ).eval()
    state = {f"layers.{key}": value for key, value in layers.state_dict().items()}
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path)
    else:
        torch.save(state, path)
    return layers


class _Block(nn.Module):
    """open_clip's ResidualAttentionBlock (src/open_clip/transformer.py)."""

    def __init__(self, width: int, heads: int, hidden: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", nn.GELU())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))

    def forward(self, x, mask=None):
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class _Blocks(nn.Module):
    def __init__(self, width: int, layers: int, heads: int, hidden: int):
        super().__init__()
        self.resblocks = nn.ModuleList(_Block(width, heads, hidden) for _ in range(layers))

    def forward(self, x, mask=None):
        for block in self.resblocks:
            x = block(x, mask)
        return x


class _Visual(nn.Module):
    """open_clip's VisionTransformer."""

    def __init__(self, config, out: int):
        super().__init__()
        width, patch = config.hidden_size, config.patch_size
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width))
        places = (config.image_size // patch) ** 2 + 1
        self.positional_embedding = nn.Parameter(torch.randn(places, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = _Blocks(width, 2, 2, config.intermediate_size)
        self.proj = nn.Parameter(torch.randn(width, out))

    def forward(self, pixels):
        x = self.conv1(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], 1)
        x = self.transformer(self.ln_pre(x + self.positional_embedding))
        return self.ln_post(x[:, 0]) @ self.proj


class OpenClip(nn.Module):
    """open_clip's CLIP (src/open_clip/model.py), what HPS_v2_compressed.pt holds the weights of."""

    def __init__(self, config):
        super().__init__()
        text, out = config.text_config, config.projection_dim
        self.visual = _Visual(config.vision_config, out)
        self.transformer = _Blocks(text.hidden_size, 2, 2, text.intermediate_size)
        self.token_embedding = nn.Embedding(text.vocab_size, text.hidden_size)
        self.positional_embedding = nn.Parameter(torch.randn(77, text.hidden_size))
        self.ln_final = nn.LayerNorm(text.hidden_size)
        self.text_projection = nn.Parameter(torch.randn(text.hidden_size, out))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))

    def encode_text(self, ids):
        """ids (n, 77), padded with 0; the feature is read at the largest id, the end of text."""
        mask = torch.full((77, 77), float("-inf")).triu(1)
        x = self.token_embedding(ids) + self.positional_embedding
        x = self.ln_final(self.transformer(x, mask))
        return x[torch.arange(len(x)), ids.argmax(-1)] @ self.text_projection


def hpsv2(folder: Path) -> tuple[Path, Path, OpenClip]:
    """(base folder, checkpoint, reference): laion/CLIP-ViT-H-14-laion2B-s32B-b79K's config and
    tokenizer without weights, and a file as xswu/HPSv2's, {"state_dict": …}."""
    torch.manual_seed(4)
    words = write_clip_tokenizer(folder)
    config = clip_config(words, act="gelu")
    config.save_pretrained(folder)
    model = OpenClip(config).eval()
    path = folder.with_name("HPS_v2_compressed.pt")
    torch.save({"epoch": 1, "state_dict": model.state_dict()}, path)
    return folder, path, model


class _TimmBlock(nn.Module):
    """BLIP's vit.py, class Block (a timm block: fused qkv)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-6), nn.LayerNorm(width, 1e-6)
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, t, width = x.shape
        qkv = self.attn.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.attn.proj(seen.transpose(1, 2).reshape(n, t, width))
        return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class _TimmVit(nn.Module):
    """BLIP's vit.py, class VisionTransformer."""

    def __init__(self, width: int, side: int):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, (side // 16) ** 2 + 1, width))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, 16, 16)
        self.blocks = nn.ModuleList(_TimmBlock(width, width // 64) for _ in range(2))
        self.norm = nn.LayerNorm(width, 1e-6)

    def forward(self, pixels):
        x = self.patch_embed.proj(pixels).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class ImageRewardReference(nn.Module):
    """THUDM/ImageReward, ImageReward/ImageReward.py: `blip` and `mlp`.

    med.py is BERT with cross-attention, so transformers' BertModel stands in for it: same names,
    same sums (vision and text are equally wide here, as BertModel wants them).
    """

    def __init__(self, words: int, width: int = 128, side: int = SIDE):
        from transformers import BertConfig, BertModel

        super().__init__()
        config = BertConfig(
            vocab_size=words,
            hidden_size=width,
            num_hidden_layers=2,
            num_attention_heads=width // 64,
            intermediate_size=48,
            is_decoder=True,
            add_cross_attention=True,
            initializer_range=0.3,
        )
        self.blip = nn.Module()
        self.blip.visual_encoder = _TimmVit(width, side)
        self.blip.text_encoder = BertModel(config, add_pooling_layer=False)
        self.blip.vision_proj = nn.Linear(width, 8)
        self.blip.text_proj = nn.Linear(width, 8)
        self.mlp = nn.Module()
        sizes = (width, 1024, 128, 64, 16, 1)
        linear = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        drop = nn.Dropout(0.2)
        self.mlp.layers = nn.Sequential(
            linear[0], drop, linear[1], drop, linear[2], drop, linear[3], linear[4]
        )

    def forward(self, pixels, ids, mask):
        seen = self.blip.visual_encoder(pixels)
        full = mask[:, None, None, :].expand(-1, 1, ids.shape[1], -1).bool()
        floats = torch.zeros(full.shape).masked_fill(~full, torch.finfo(torch.float32).min)
        read = self.blip.text_encoder(
            ids, attention_mask=floats, encoder_hidden_states=seen, use_cache=False
        ).last_hidden_state[:, 0]
        return (self.mlp.layers(read)[:, 0] - 0.16717362830052426) / 1.0333394966054072


def image_reward(folder: Path) -> tuple[Path, Path, ImageRewardReference]:
    """(tokenizer folder as google-bert/bert-base-uncased, ImageReward.pt, reference)."""
    from transformers import BertConfig

    torch.manual_seed(5)
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *LETTERS]
    words += [f"##{letter}" for letter in LETTERS]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)) + "\n")
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"do_lower_case": True, "tokenizer_class": "BertTokenizer"})
    )
    BertConfig(vocab_size=120).save_pretrained(folder)
    model = ImageRewardReference(120).eval()
    path = folder.with_name("ImageReward.pt")
    state = model.state_dict()
    # med.py has no token types; and of transformers 4.15, for which it was written, this counter.
    types = state.pop("blip.text_encoder.embeddings.token_type_embeddings.weight")
    types.zero_()
    state["blip.text_encoder.embeddings.position_ids"] = torch.arange(512)[None]
    torch.save(state, path)
    return folder, path, model


TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}</s>{% endif %}"
)


def llava(folder: Path) -> Path:
    """LlavaForConditionalGeneration, the layout of llava-hf/llava-1.5-7b-hf."""
    from transformers import (
        AutoTokenizer,
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    torch.manual_seed(6)
    words = write_word_tokenizer(folder, pad="<pad>", unk="<unk>", eos="</s>", more=("<image>",))
    tower = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    tower |= {"num_attention_heads": 2, "initializer_range": 0.3}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=SIDE, patch_size=16, **tower),
        text_config=LlamaConfig(vocab_size=words, num_key_value_heads=2, **tower),
        image_token_index=3,
        vision_feature_layer=-1,
    )
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer=AutoTokenizer.from_pretrained(folder),
        patch_size=16,
        vision_feature_select_strategy="default",
        chat_template=TEMPLATE,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return folder
