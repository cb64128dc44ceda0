"""Miniature InstructPix2Pix and GPT-2 checkpoints: random weights, real layout."""

from pathlib import Path

import torch

from tests.models.tis.miniatures import (
    autoencoder,
    clip_text_encoder,
    clip_tokenizer,
    finish,
    write_clip_tokenizer,
)
from tests.models.train.miniatures import tokenizer


def instruct_pix2pix(folder: Path) -> Path:
    """timbrooks/instruct-pix2pix, smaller: the UNet takes the picture's latents as well."""
    from diffusers import (
        EulerAncestralDiscreteScheduler,
        StableDiffusionInstructPix2PixPipeline,
        UNet2DConditionModel,
    )

    torch.manual_seed(0)
    vocabulary = write_clip_tokenizer(folder / "tokenizer")
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=16, norm_num_groups=4,
        in_channels=8, out_channels=4, cross_attention_dim=32, attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    pipeline = StableDiffusionInstructPix2PixPipeline(
        vae=autoencoder(), text_encoder=clip_text_encoder(vocabulary),
        tokenizer=clip_tokenizer(folder / "tokenizer"), unet=unet,
        scheduler=EulerAncestralDiscreteScheduler(), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    return finish(pipeline, folder)


def gpt2(folder: Path) -> Path:
    """A rewriter as microsoft/Promptist is laid out: GPT-2 without a chat template."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    words = tokenizer(None)
    config = GPT2Config(
        vocab_size=len(words), n_positions=256, n_embd=32, n_layer=2, n_head=2,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder
