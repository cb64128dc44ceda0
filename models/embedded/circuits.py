"""A copying circuit written into a Llama's initial weights.

An induction head (Olsson et al. 2022) needs two layers to find each other, and a small model on a
slow machine spends most of its training on that discovery.  So it is computed instead, as the
autoencoder's encoder is: in layer 0 two heads look one and two tokens back and write what stands
there into dimensions of their own; in layer 1 two heads look for a place whose predecessors are the
tokens just read, and copy what stands there to the output.  Everything else keeps its random start,
and every weight is trained afterwards.  Leaves out training (`models.embedded.language`).
"""

import math
from typing import Any

import torch

IDENTITY = 96  # dimensions of the residual stream that hold the token itself
PREVIOUS = 48  # and each of the two tokens before it: a half of their identity
SIGMA = 0.1  # standard deviation of an embedding's entries
SHARP = 100.0  # logits of the heads that look back, e^-8 for the neighbours of the right place
MATCH = 18.0  # logits of a full match over none
COPY = 5.0  # the copied token against the present one in the output
_FAST = 6  # rotary pairs that turn fast enough to tell neighbours apart
_SLOW = 3e-3  # radians a token: slower pairs hardly notice a distance of a hundred tokens


def frequencies(config: Any) -> torch.Tensor:
    """Radians a token of each rotary pair: float32 (head_dim / 2,)."""
    size = config.head_dim
    exponents = torch.arange(0, size, 2, dtype=torch.float32) / size
    return config.rope_parameters["rope_theta"] ** -exponents


@torch.no_grad()
def write_copying(model: Any, seed: int = 0) -> None:
    """Overwrite embeddings, two heads of layer 0 and two of layer 1 of a `LlamaForCausalLM`.

    Needs tied embeddings, `attention_bias` and a hidden size of IDENTITY + 2 * PREVIOUS.
    """
    generator = torch.Generator().manual_seed(seed)
    embedding = model.get_input_embeddings().weight
    embedding.normal_(0, SIGMA, generator=generator)
    embedding[:, IDENTITY:] = 0
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    for head in (0, 1):
        _clear(first, model.config, head)
        _look_back(first, model.config, head, offset=head + 1)
        _clear(second, model.config, head)
        _copy_after_match(second, model.config, head)


def _clear(attention: Any, config: Any, head: int) -> None:
    rows = slice(head * config.head_dim, (head + 1) * config.head_dim)
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
        projection.weight[rows] = 0
        projection.bias[rows] = 0
    attention.o_proj.weight[:, rows] = 0


def _look_back(attention: Any, config: Any, head: int, offset: int) -> None:
    """Attend `offset` tokens back whatever they are: biases that agree when turned that far."""
    size = config.head_dim
    start = head * size
    strength = math.sqrt(SHARP * math.sqrt(size) / _FAST)
    angles = frequencies(config)[:_FAST] * offset
    attention.q_proj.bias[start : start + _FAST] = strength
    attention.k_proj.bias[start : start + _FAST] = strength * angles.cos()
    middle = start + size // 2
    attention.k_proj.bias[middle : middle + _FAST] = strength * angles.sin()
    begin = IDENTITY + head * PREVIOUS
    seen = math.sqrt(config.hidden_size / IDENTITY)  # RMS of a normalised embedding's entries
    for index in range(PREVIOUS):
        attention.v_proj.weight[start + index, index] = 1
        attention.o_proj.weight[begin + index, start + index] = SIGMA / seen


def _copy_after_match(attention: Any, config: Any, head: int) -> None:
    """Attend where the last two tokens were followed by something; write that to the output.

    Only slow rotary pairs compare, since a match counts at any distance.  The last token weighs
    about twice as much as the one before it.
    """
    size = config.head_dim
    start = head * size
    half = size // 2
    slow = [pair for pair in range(half) if frequencies(config)[pair] < _SLOW]
    dimensions = [start + pair for pair in slow] + [start + half + pair for pair in slow]
    strength = math.sqrt(MATCH * math.sqrt(size) / len(dimensions))
    newest = 2 * len(dimensions) // 3
    for place, dimension in enumerate(dimensions):
        if place < newest:  # the present token, against what a place says stood before it
            index = (place + head * newest) % PREVIOUS
            asked, found = index, IDENTITY + index
        else:  # the token before, against what stood two before the place
            index = (place - newest + head * (len(dimensions) - newest)) % PREVIOUS
            asked, found = IDENTITY + index, IDENTITY + PREVIOUS + index
        attention.q_proj.weight[dimension, asked] = strength
        attention.k_proj.weight[dimension, found] = strength
    for index in range(PREVIOUS):
        identity = head * PREVIOUS + index
        attention.v_proj.weight[start + index, identity] = 1
        attention.o_proj.weight[identity, start + index] = COPY * SIGMA
