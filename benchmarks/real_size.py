"""Models of real size with random weights: what a training costs on a GPU without a download.

    python -m benchmarks.real_size FOLDER              # 4 GB: FOLDER/student and FOLDER/tis
    python -m benchmarks.real_size FOLDER --miniature  # the same in megabytes, to try the commands

`student` is a Llama with the layers of Llama 3.2 1B (0.98 B parameters with our small vocabulary),
`tis` a Stable Diffusion 1.5 (UNet 860 M, CLIP ViT-L/14 text encoder, its autoencoder), sizes as in
the published config.json files.  Tokenizers are the embedded models'.  What such models say and
draw is noise, so only times and memory mean anything; the scorers stay the embedded ones.  Answers
of 24 tokens never end by themselves and fit the text encoder, so all are rendered.  It ends by
printing the commands of the benchmarks to run with them.
"""

import argparse
from pathlib import Path
from typing import Any

import torch

from models.loading import quiet

WEIGHTS = Path(__file__).resolve().parents[1] / "models" / "embedded" / "weights"
# https://huggingface.co/meta-llama/Llama-3.2-1B, config.json
STUDENT: dict[str, Any] = {
    "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
    "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64,
    "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
# https://huggingface.co/stable-diffusion-v1-5/stable-diffusion-v1-5, config.json of each part
TEXT: dict[str, Any] = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "hidden_act": "quick_gelu",
}  # fmt: skip
UNET: dict[str, Any] = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768,
    "attention_head_dim": 8,
}  # fmt: skip
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip


def main() -> None:
    """Write both folders and say how to use them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--miniature", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve()
    dtype = torch.float32 if arguments.miniature else torch.bfloat16
    with quiet():
        write_student(folder / "student", dtype, arguments.miniature)
        write_tis(folder / "tis", dtype, arguments.miniature)
    print(commands(folder, arguments.miniature))


def write_student(folder: Path, dtype: torch.dtype, miniature: bool = False) -> None:
    """A causal language model with the embedded student's tokenizer and chat template."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    words = AutoTokenizer.from_pretrained(WEIGHTS / "lm")
    small = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 2}
    config = LlamaConfig(
        vocab_size=len(words), bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id, dtype=dtype, **STUDENT | (small if miniature else {}),
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    _say("student", folder, model)
    model.to(dtype).save_pretrained(folder)
    words.save_pretrained(folder)


def write_tis(folder: Path, dtype: torch.dtype, miniature: bool = False) -> None:
    """A `StableDiffusionPipeline` folder with the embedded one's tokenizer."""
    from diffusers import (
        AutoencoderKL,
        PNDMScheduler,
        StableDiffusionPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    small_text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    small_text |= {"num_attention_heads": 2}
    small_unet = {"block_out_channels": (32, 32, 64, 64), "cross_attention_dim": 32}
    small_unet |= {"attention_head_dim": 2, "sample_size": 8}
    small_vae = {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}
    words = CLIPTokenizer.from_pretrained(WEIGHTS / "tis-sd" / "tokenizer")
    torch.manual_seed(0)
    text = CLIPTextConfig(
        vocab_size=len(words), bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id, max_position_embeddings=words.model_max_length,
        **TEXT | (small_text if miniature else {}),
    )  # fmt: skip
    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(**VAE | (small_vae if miniature else {})),
        text_encoder=CLIPTextModel(text),
        tokenizer=words,
        unet=UNet2DConditionModel(**UNET | (small_unet if miniature else {})),
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
            skip_prk_steps=True,
        ),
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )  # fmt: skip
    _say("unet", folder, pipeline.unet)
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        torch.nn.Module.to(part, dtype)  # diffusers' own warns that it keeps no part in float32
    pipeline.save_pretrained(folder)


def _say(name: str, folder: Path, model: torch.nn.Module) -> None:
    print(f"{name}: {sum(p.numel() for p in model.parameters()) / 1e6:.0f} M parameters, {folder}")


def commands(folder: Path, miniature: bool = False) -> str:
    """What to run with the folders, as text for a terminal."""
    size, dtype = (64, "float32") if miniature else (512, "bfloat16")
    tis = f"--set tis.model={folder}/tis --set tis.dtype={dtype} --set tis.steps=25"
    tis += f" --set tis.guidance=7.5 --set tis.width={size} --set tis.height={size}"
    tis += " --set tis.scheduler=DPMSolverMultistepScheduler"
    student = f"--set student.base={folder}/student"
    answers = "--set student.max_new_tokens=24"
    few = "--set sft.max_steps=50 --set sft.measured_cases=8"
    return f"""
A dataset to ask from (once; any published InstructPE version will do):
  diffchat build
Fine-tuning (it says its seconds; look at the GPU's memory beside it):
  diffchat sft {student} {few}
One step of RL in parts, and beside trl's RLOO:
  python -m benchmarks.rl_step --parent {folder}/student --steps 3 --turns 1 \\
      {student} {answers} \\
      {tis}
Pictures a second beside the bare pipeline:
  python -m benchmarks.render --model {folder}/tis --dtype {dtype} --steps 25 --batch 8"""


if __name__ == "__main__":
    main()
