"""The text side of the embedded models: a CLIP tokenizer and small CLIP text encoders.

The tokenizer is byte-pair encoding with CLIP's conventions (lower case, `</w>` at word ends), from
the world's captions; every word of the world is one token, any other word falls apart into
pieces that the filler words have trained.  Leaves out the language model's tokenizer.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from models.world.captions import FILLERS, OPENINGS, caption
from models.world.scene import Scene, sample_scene
from models.world.vocabulary import COLOURS, FINISHES, FLAWS, KINDS, PLACES, TIMES, WEATHERS

VOCABULARY = 1200  # tokens; the world and its fillers need about 700
MAX_TOKENS = 64  # a two-group scene with every finish word needs 62 at most
WIDTH = 96


def _corpus() -> Iterator[str]:
    generator = random.Random(11)
    for _ in range(20_000):
        yield caption(sample_scene(generator, flaw=0.3), generator)
    for words in (*FILLERS, *OPENINGS):
        yield from [words] * 30


def build_tokenizer() -> Any:
    """A `CLIPTokenizer` with bos, eos and pad set; the same one every time."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    bpe.normalizer = normalizers.Lowercase()  # pyright: ignore[reportAttributeAccessIssue]
    bpe = _split_like_clip(bpe)
    corpus = list(_corpus())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=word_ends(bpe, corpus),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    merges = _merges(bpe)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = [*alphabet, *(f"{c}</w>" for c in alphabet), *("".join(pair) for pair in merges)]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    kind: Any = CLIPTokenizer  # its annotation of merges knows no pairs
    return kind(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        unk_token="<|endoftext|>",
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=MAX_TOKENS,
    )


def _split_like_clip(bpe: Any) -> Any:
    """Split as CLIP does: words, single digits, runs of other signs; spaces are dropped."""
    from tokenizers import Regex, pre_tokenizers

    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return bpe


def word_ends(bpe: Any, corpus: Iterable[str]) -> list[str]:
    """The last signs of the corpus's words as the vocabulary writes them, for a trainer to number
    first.

    Ties between merges are broken by number, and what ends a word is numbered as it is met, in the
    order of a hash map: without this one training in three has two tokens the other way round.
    """
    texts = map(bpe.normalizer.normalize_str, corpus)
    words = (word for text in texts for word, _ in bpe.pre_tokenizer.pre_tokenize_str(text))
    return [f"{sign}</w>" for sign in sorted({word[-1] for word in words}, reverse=True)]


def _merges(bpe: Any) -> list[tuple[str, str]]:
    import json

    rows = json.loads(bpe.to_str())["model"]["merges"]
    return [tuple(row) if isinstance(row, list) else tuple(row.split(" ")) for row in rows]


def text_config(tokenizer: Any, *, width: int = WIDTH, layers: int = 2) -> Any:
    """The configuration of a text encoder for this tokenizer."""
    from transformers import CLIPTextConfig

    kind: Any = CLIPTextConfig  # `attn_implementation` is read, but not annotated
    return kind(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )


def tokens(tokenizer: Any, captions: list[str]) -> Any:
    """Token ids, int64 (B, MAX_TOKENS), padded as the pipelines pad."""
    return tokenizer(
        captions,
        padding="max_length",
        max_length=MAX_TOKENS,
        truncation=True,
        return_tensors="pt",
    ).input_ids


def facts(scene: Scene) -> list[int]:
    """What a caption of the scene says, as class numbers; 0 is "not said".

    Kind, colour and count of both groups, place, time, weather, then one 0/1 for each finish and
    flaw; `FACT_SIZES` runs parallel.
    """

    def number(name: str | None, table: dict) -> int:
        return 0 if name is None else 1 + list(table).index(name)

    row = []
    for slot in range(2):
        group = scene.groups[slot] if slot < len(scene.groups) else None
        row.append(number(group and group.kind, KINDS))
        row.append(number(group and group.colour, COLOURS))
        row.append(group.count if group else 0)
    row += [number(scene.place, PLACES), number(scene.time, TIMES)]
    row.append(list(WEATHERS).index(scene.weather))
    row += [int(name in scene.finishes) for name in FINISHES]
    row += [int(name in scene.flaws) for name in FLAWS]
    return row


FACT_SIZES = (
    *(13, 9, 4) * 2, len(PLACES) + 1, len(TIMES) + 1, len(WEATHERS),
    *[2] * (len(FINISHES) + len(FLAWS)),
)  # fmt: skip


def teach(
    encode: Callable[[Any], Any],
    parameters: list[Any],
    tokenizer: Any,
    *,
    steps: int,
    seed: int,
    batch: int = 64,
) -> float:
    """Teach text encoders to state the facts of a caption; returns the share of facts right.

    A linear head reads the states from the end token on (the padding sees the whole caption too).
    Ordinary text encoders come pretrained; from scratch, a diffusion loss alone teaches words
    slowly.  `encode` maps ids (B, T) to states (B, T, D); `batch` is per rank.
    """
    import torch
    from torch.nn import functional

    from models.embedded.training import average_gradients

    generator = random.Random(seed)
    torch.manual_seed(0)  # the same head on every rank
    head = torch.nn.Linear(WIDTH, sum(FACT_SIZES)).to(parameters[0].device)
    optimiser = torch.optim.AdamW([*parameters, *head.parameters()], lr=2e-3, betas=(0.9, 0.98))
    right = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * (1 - 0.9 * step / steps)
        scenes = [sample_scene(generator) for _ in range(batch)]
        ids = tokens(tokenizer, [caption(scene, generator) for scene in scenes])
        ids = ids.to(parameters[0].device)
        ends = (ids == tokenizer.eos_token_id).int().argmax(dim=1)
        reach = torch.tensor([generator.random() ** 2 for _ in scenes], device=ids.device)
        spots = (ends + reach * (MAX_TOKENS - 1 - ends)).long()
        states = encode(ids)[torch.arange(len(scenes), device=ids.device), spots]
        logits = head(states).split(FACT_SIZES, dim=1)
        target = torch.tensor([facts(scene) for scene in scenes], device=ids.device)
        loss = sum(
            (functional.cross_entropy(part, target[:, k]) for k, part in enumerate(logits)),
            start=torch.zeros((), device=ids.device),
        )
        optimiser.zero_grad()
        loss.backward()
        average_gradients([*parameters, *head.parameters()])
        optimiser.step()
        found = torch.stack([part.argmax(dim=1) for part in logits], dim=1)
        right = 0.95 * right + 0.05 * float((found == target)[:, :9].float().mean())
    return right
