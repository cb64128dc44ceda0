"""Token budgets and token counts of text encoders, without torch.

The budget is what remains for the prompt itself: 77 positions of a CLIP text encoder less its two
special tokens; `max_sequence_length` of a T5 or LLM encoder less what the pipeline adds.  Where a
pipeline reads the prompt through CLIP *and* T5 (SD 3, FLUX), the T5 budget counts: T5 reads all of
it, CLIP the first 77 tokens — for the pooled vector (FLUX), and for its own states too (SD 3).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from models.tis.folder import PipelineFolder, read_json
from schemas.errors import ModelError, SettingsError

CLIP_SPECIALS = 2  # start and end of text


class LongEncoder(NamedTuple):
    """Which tokenizer reads the whole prompt, how far, and how many positions are not the prompt's.

    `length`: default of `max_sequence_length` in diffusers' `__call__` (a test compares them);
    `added`: end-of-sequence and template tokens that the pipeline counts within that length;
    `most`: the largest length that its `check_inputs` lets pass.
    """

    tokenizer: str
    encoder: str
    length: int
    added: int
    most: int = 1_000_000


LONG_ENCODERS = {
    "StableDiffusion3Pipeline": LongEncoder("tokenizer_3", "text_encoder_3", 256, 1, 512),
    "FluxPipeline": LongEncoder("tokenizer_2", "text_encoder_2", 512, 1, 512),
    "ChromaPipeline": LongEncoder("tokenizer", "text_encoder", 512, 1, 512),
    "PixArtAlphaPipeline": LongEncoder("tokenizer", "text_encoder", 120, 1),
    "PixArtSigmaPipeline": LongEncoder("tokenizer", "text_encoder", 300, 1),
    # user turn only: the system turn is dropped; "<|im_end|>\n<|im_start|>assistant\n" stays
    "QwenImagePipeline": LongEncoder("tokenizer", "text_encoder", 512, 5, 1024),
    # "<|im_start|>user\n" … "<|im_end|>\n<|im_start|>assistant\n"
    "ZImagePipeline": LongEncoder("tokenizer", "text_encoder", 512, 8),
    "SanaPipeline": LongEncoder("tokenizer", "text_encoder", 300, 2),
}


def token_budget(folder: PipelineFolder, max_sequence_length: int | None) -> int | None:
    """Tokens a prompt may have, special tokens not counted; None if that is written nowhere.

    Raises SettingsError for a `max_sequence_length` that the pipeline refuses, which it would do
    only when it renders.
    """
    long = long_encoder(folder)
    if long:
        if max_sequence_length is not None and max_sequence_length > long.most:
            raise SettingsError(
                f"tis.max_sequence_length = {max_sequence_length}, but {folder.pipeline} takes "
                f"{long.most} at most."
            )
        return (max_sequence_length or long.length) - long.added
    limits = [
        _clip_positions(folder, name) - CLIP_SPECIALS
        for name, kind in folder.components.items()
        if kind.startswith("CLIPTokenizer")
    ]
    return min(limits) if limits else None


def long_encoder(folder: PipelineFolder) -> LongEncoder | None:
    """The entry of the pipeline, if its long encoder is there (SD 3 may be used without T5)."""
    long = LONG_ENCODERS.get(folder.pipeline)
    return long if long and long.encoder in folder.components else None


def _clip_positions(folder: PipelineFolder, tokenizer: str) -> int:
    encoder = tokenizer.replace("tokenizer", "text_encoder")
    positions = folder.config(encoder, "config.json").get("max_position_embeddings", 77)
    stated = folder.config(tokenizer, "tokenizer_config.json").get("model_max_length", positions)
    return int(min(positions, stated))


def load_counter(folder: PipelineFolder) -> Callable[[str], int]:
    """A function from prompt to number of tokens (special tokens not counted)."""
    long = long_encoder(folder)
    if long:
        component = long.tokenizer
    elif "tokenizer" in folder.components:
        component = "tokenizer"
    else:
        component = next((c for c in folder.components if c.startswith("tokenizer")), "")
    path = folder.root / component
    if not component or not path.is_dir():
        raise ModelError(f"{folder.root} has no tokenizer, so prompts cannot be counted.")
    encode = _tokenizer(path)
    return lambda prompt: len(encode(prompt))


def _tokenizer(path: Path) -> Callable[[str], list[int]]:
    """Token ids by the `tokenizers` library alone where the folder allows it: loading takes 0.1 s
    instead of the 2 s of importing transformers."""
    from tokenizers import Tokenizer

    try:
        if (path / "tokenizer.json").is_file():
            fast = Tokenizer.from_file(str(path / "tokenizer.json"))
            fast.no_truncation()  # a saved truncation would hide the length
            fast.no_padding()
        elif (path / "merges.txt").is_file():
            fast = _clip_bpe(path)
        else:
            return _by_transformers(path)
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"The tokenizer in {path} cannot be read: {error}") from error
    return lambda text: fast.encode(text, add_special_tokens=False).ids


def _clip_bpe(path: Path):
    """CLIP's byte-pair encoding from `vocab.json` and `merges.txt`, the published layout of SD 1.x
    and SDXL.  The same steps as transformers' CLIPTokenizer (a test compares them)."""
    from tokenizers import AddedToken, Regex, Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import BPE

    vocabulary = read_json(path / "vocab.json")
    lines = (path / "merges.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split() for line in lines if line and not line.startswith("#version"))
    merges = [(first, second) for first, second in pairs]
    specials = _clip_specials(path)
    tokenizer = Tokenizer(
        BPE(
            vocab=vocabulary,
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix="</w>",
            fuse_unk=False,
            unk_token=specials["unk_token"],
        )
    )
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = Regex(
        r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
        r"|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.add_special_tokens(
        [AddedToken(t, normalized=False) for t in dict.fromkeys(specials.values())]
    )
    return tokenizer


def _clip_specials(path: Path) -> dict[str, str]:
    config = read_json(path / "tokenizer_config.json", missing_ok=True)
    defaults = {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    found = {}
    for name, default in defaults.items():
        value = config.get(name, default)
        found[name] = value["content"] if isinstance(value, dict) else value or default
    return found


def _by_transformers(path: Path) -> Callable[[str], list[int]]:
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        hint = ""
        if (path / "spiece.model").is_file():
            hint = (
                " It has only spiece.model: `pip install sentencepiece`, or put the tokenizer.json "
                "of the same T5 (google/t5-v1_1-xxl's is in FLUX.1's tokenizer_2) beside it."
            )
        raise ModelError(f"The tokenizer in {path} cannot be read: {error}{hint}") from error
    return lambda text: tokenizer(text, add_special_tokens=False, truncation=False).input_ids
