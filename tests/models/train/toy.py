"""A task small enough to know its optimum: eight words out of a vocabulary of 32.

A prompt names two things; the answer must say both units ("blue car", …) and is more beautiful for
each of two bonus words and uglier for each repeated word.  The policy is a Llama with random
weights over a word-level tokenizer; everything else is the code that trains real students.
"""

from types import SimpleNamespace

import numpy as np
import torch

from models.train.reward import Reward
from models.train.rollout import Question
from schemas.training import AdmSettings, RewardSettings, RlSettings
from schemas.units import Unit

COLOURS = ("blue", "red", "green", "white")
THINGS = ("car", "tree", "house", "boat")
BONUS = ("glow", "gold")
FILLERS = (
    "fog", "rain", "snow", "sun", "moon", "sand", "grass", "stone", "night", "noon", "sea", "wind",
    "cloud", "leaf",
)  # fmt: skip
SPECIAL = ("<pad>", "<s>", "</s>", "<user>", "<answer>", "<unk>")
WORDS = (*SPECIAL, *COLOURS, *THINGS, *BONUS, *FILLERS)
STEPS_OF_TASK = 8  # words an answer may have
# Both bonus words over the raw prompt's none, both units, nothing repeated; weights are 1, 1, 2.
OPTIMUM = 1.0 * 2 + 0.0 + 2.0
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ '<user>' if m['role'] == 'user' else '<answer>' }}"
    "{{ m['content'] }}{% endfor %}{% if add_generation_prompt %}{{ '<answer>' }}{% endif %}"
)


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL, *(f"\u2581{word}" for word in WORDS[len(SPECIAL) :])]
    words += [f"\u2581unused{i}" for i in range(32 - len(words))]
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", extra_special_tokens=["<user>", "<answer>"], padding_side="left",
    )  # fmt: skip
    fast.chat_template = TEMPLATE
    return fast


def policy(seed: int, positions: int = 64):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    words = tokenizer()
    config = LlamaConfig(
        vocab_size=32, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=positions, pad_token_id=words.pad_token_id,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id,
    )  # fmt: skip
    return SimpleNamespace(model=LlamaForCausalLM(config).eval(), tokenizer=words)


def questions() -> list[Question]:
    found = []
    for i, (first, second) in enumerate((a, b) for a in range(4) for b in range(4) if a < b):
        units = [f"{COLOURS[first]} {THINGS[second]}", f"{COLOURS[second]} {THINGS[first]}"]
        prompt = " ".join(units)
        found.append(
            Question(
                question_id=str(i), raw_prompt=THINGS[second], instruction="", intent=prompt,
                units=tuple(Unit("add", text) for text in units),
                messages=({"role": "user", "content": prompt},),
            )
        )  # fmt: skip
    return found


def judge(pairs) -> np.ndarray:
    """Aesthetics: bonus words; preference: less for each repeated word."""
    rows = []
    for prompt, _ in pairs:
        words = prompt.split()
        repeated = len(words) - len(set(words))
        rows.append((sum(word in words for word in BONUS), -float(repeated)))
    return np.array(rows)


def reward(weights: RewardSettings | None = None) -> Reward:
    settings = weights or RewardSettings(length_penalty=0.0)
    return Reward(settings, judge, lambda text: len(text.split()), 16, scales=(1.0, 1.0))


def settings(**changes) -> RlSettings:
    base = {
        "steps": 120, "prompts": 6, "samples": 8, "learning_rate": 3e-3, "minibatch": 24,
        "epochs": 3, "kl_coefficient": 0.0, "kl_limit": 1e9, "entropy_floor": 0.0,
        "checkpoint_every": 1000, "samples_every": 1000,
        "reward": RewardSettings(length_penalty=0.0),
    }  # fmt: skip
    return RlSettings(**{**base, **changes})


NO_ADM = AdmSettings(positive_share=0.0, negative_share=0.0)
SINGLE = SimpleNamespace(
    process_index=0, num_processes=1, is_main_process=True, wait_for_everyone=lambda: None
)
