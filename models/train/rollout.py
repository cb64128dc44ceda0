"""Rollout: answers of the policy to a batch of questions, with what learning needs of each state.

On-policy rows are sampled from π at temperature 1, without truncation; off-policy rows from the
modified distribution μ of `adm`.  The behaviour log-probability of every token is that of the
distribution it was really drawn from.  A state s_t is the prompt and the first t tokens.

Names of tensors carry their dimensions: B rows, P prompt tokens (padded on the left), T answer
tokens (padded on the right), L = P + T, V tokens of the vocabulary, E of them that end an answer,
F features.
Leaves out gradients, rewards and advantages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import torch

from models.integrity import content_integrity
from models.train.adm import ActionSpace, Vocabulary, nucleus, vocabulary_of
from models.train.policy import eos_ids
from models.train.template import encode_prompt
from schemas.training import AdmSettings
from schemas.units import Unit

ON_POLICY, POSITIVE, HARD_NEGATIVE = "on_policy", "positive", "hard_negative"
FEATURES = 3  # shares of required units done, of forbidden ones present, of the budget left


class Question(NamedTuple):
    """One thing to answer: a prompt and an instruction, with what a good answer contains."""

    question_id: str  # triple_id
    raw_prompt: str  # what the instruction applies to; its renders are the baseline
    instruction: str
    intent: str
    units: tuple[Unit, ...]
    messages: tuple[dict[str, str], ...]  # in the student's chat format
    edit_kind: str = ""


@dataclass
class Rollout:
    """Answers and their states; every field has one entry a row."""

    questions: list[Question]
    kinds: list[str]
    texts: list[str]
    ids_BL: torch.Tensor  # int64
    attention_BL: torch.Tensor  # int64, 0 for padding on either side
    mask_BT: torch.Tensor  # bool: the token belongs to the answer (its end token does)
    behaviour_BT: torch.Tensor  # log-probability of the token where it was drawn; 0 outside
    integrity_BT: torch.Tensor  # content integrity of the answer before the token
    features_BTF: torch.Tensor
    finished_B: torch.Tensor  # bool: ended by itself, not by the budget

    @property
    def answer_length(self) -> int:
        """T."""
        return self.mask_BT.shape[1]

    @property
    def on_policy_B(self) -> torch.Tensor:
        return torch.tensor([kind == ON_POLICY for kind in self.kinds])

    @property
    def actions_BT(self) -> torch.Tensor:
        return self.ids_BL[:, -self.answer_length :]

    def __len__(self) -> int:
        return len(self.kinds)

    def rows(self, chosen: Sequence[int]) -> "Rollout":
        """A rollout of these rows alone."""
        index = torch.as_tensor(list(chosen), dtype=torch.long)
        picked: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            tensor = isinstance(value, torch.Tensor)
            picked[field.name] = value[index] if tensor else [value[i] for i in chosen]
        return replace(self, **picked)


def plan_kinds(rows: int, adm: AdmSettings) -> list[str]:
    """Kinds of `rows` rows: the first ones on-policy, then positives, then hard negatives.

    At least half are on-policy.  Shares are rounded down, so a step too small for one has none.
    """
    positive = int(rows * adm.positive_share)
    negative = int(rows * adm.negative_share)
    on_policy = rows - positive - negative
    return [ON_POLICY] * on_policy + [POSITIVE] * positive + [HARD_NEGATIVE] * negative


@torch.no_grad()
def roll_out(
    model: Any,
    tokenizer: Any,
    questions: Sequence[Question],
    kinds: Sequence[str],
    *,
    adm: AdmSettings,
    max_new_tokens: int,
    generator: torch.Generator,
) -> Rollout:
    """Answer each question once, in the way its kind says.

    `generator` is on the CPU, so that samples do not depend on the device.
    """
    model.eval()
    device = next(model.parameters()).device
    ids_BP, mask_BP = encode(tokenizer, [question.messages for question in questions])
    ids_BP, mask_BP = ids_BP.to(device), mask_BP.to(device)
    ends = eos_ids(model, tokenizer)
    ends_E = torch.tensor(ends)
    vocabulary = vocabulary_of(tokenizer, model.config.vocab_size, tuple(ends))
    spaces = _spaces(questions, kinds, vocabulary, adm, max_new_tokens, generator)
    tokens_BT, behaviour_BT = _sample(
        model, ids_BP, mask_BP, spaces, ends_E, adm.top_p, max_new_tokens, generator
    )
    over_BT = torch.isin(tokens_BT, ends_E)
    mask_BT = over_BT.cumsum(dim=1) <= over_BT  # up to and with the first end
    tokens_BT = tokens_BT.masked_fill(~mask_BT, tokenizer.pad_token_id)
    integrity_BT, features_BTF = _states(tokenizer, questions, tokens_BT, mask_BT, max_new_tokens)
    said = [
        row_T[ours_T].tolist() for row_T, ours_T in zip(tokens_BT, mask_BT & ~over_BT, strict=True)
    ]
    return Rollout(
        questions=list(questions),
        kinds=list(kinds),
        texts=[tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in said],
        ids_BL=torch.cat([ids_BP.cpu(), tokens_BT], dim=1),
        attention_BL=torch.cat([mask_BP.cpu(), mask_BT.long()], dim=1),
        mask_BT=mask_BT,
        behaviour_BT=behaviour_BT.masked_fill(~mask_BT, 0.0),
        integrity_BT=integrity_BT,
        features_BTF=features_BTF,
        finished_B=(over_BT & mask_BT).any(dim=1),
    )


def encode(
    tokenizer: Any, conversations: Sequence[Sequence[dict[str, str]]]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and attention (B, P) of conversations that end with a question, padded left."""
    prompts = [encode_prompt(tokenizer, list(messages)) for messages in conversations]
    width = max(map(len, prompts))
    ids_BP = torch.full((len(prompts), width), tokenizer.pad_token_id)
    mask_BP = torch.zeros_like(ids_BP)
    for row, prompt in enumerate(prompts):
        ids_BP[row, width - len(prompt) :] = torch.tensor(prompt)
        mask_BP[row, width - len(prompt) :] = 1
    return ids_BP, mask_BP


def _spaces(
    questions: Sequence[Question],
    kinds: Sequence[str],
    vocabulary: Vocabulary,
    adm: AdmSettings,
    budget: int,
    generator: torch.Generator,
) -> dict[int, ActionSpace]:
    """The action space of each off-policy row; a hard negative may block wanted units."""
    spaces = {}
    for row, (question, kind) in enumerate(zip(questions, kinds, strict=True)):
        if kind == ON_POLICY:
            continue
        candidates, most = None, 1
        if kind == HARD_NEGATIVE:
            wanted = [i for i, unit in enumerate(question.units) if unit.role != "remove"]
            order = torch.randperm(len(wanted), generator=generator).tolist()
            candidates = [wanted[i] for i in order]
            most = int(torch.randint(1, adm.most_blocked + 1, (), generator=generator))
        spaces[row] = ActionSpace(question.units, vocabulary, adm, budget, candidates, most)
    return spaces


def _sample(
    model: Any,
    ids_BP: torch.Tensor,
    mask_BP: torch.Tensor,
    spaces: dict[int, ActionSpace],
    ends_E: torch.Tensor,
    top_p: float,
    budget: int,
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (B, T) and the log-probability with which each was drawn, token by token.

    Rows that have ended leave the batch once they are half of it: a few long answers would
    otherwise cost as much as all.
    """
    rows_B = torch.arange(len(ids_BP))  # of those still in the batch
    tokens_BT = torch.full((len(ids_BP), budget), int(ends_E[0]))
    logs_BT = torch.zeros(len(ids_BP), budget)
    done_B = torch.zeros(len(ids_BP), dtype=torch.bool)
    cache, step_ids, mask_BL = None, ids_BP, mask_BP
    for t in range(budget):
        positions = (mask_BL.cumsum(dim=1) - 1).clamp(min=0)[:, -step_ids.shape[1] :]
        out = model(
            input_ids=step_ids, attention_mask=mask_BL, position_ids=positions,
            past_key_values=cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        cache = out.past_key_values
        law_BV = out.logits[:, -1].float().softmax(dim=-1).cpu()
        live = [
            (place, row)
            for place, row in enumerate(rows_B.tolist())
            if row in spaces and not done_B[place]
        ]
        _modify(law_BV, [(place, spaces[row]) for place, row in live], top_p)
        token_B = torch.multinomial(law_BV, 1, generator=generator).squeeze(1)
        tokens_BT[rows_B, t] = token_B
        logs_BT[rows_B, t] = law_BV.gather(1, token_B[:, None]).squeeze(1).log()
        for place, row in live:
            spaces[row].advance(int(token_B[place]))
        done_B |= torch.isin(token_B, ends_E)
        if bool(done_B.all()):
            return tokens_BT[:, : t + 1], logs_BT[:, : t + 1]
        if 2 * int(done_B.sum()) >= len(rows_B):
            kept = (~done_B).nonzero().squeeze(1)
            cache.batch_select_indices(kept.to(ids_BP.device))
            rows_B, token_B, done_B = rows_B[kept], token_B[kept], done_B[kept]
            mask_BL = mask_BL[kept.to(ids_BP.device)]
        step_ids = token_B[:, None].to(ids_BP.device)
        mask_BL = torch.cat([mask_BL, torch.ones_like(step_ids)], dim=1)
    return tokens_BT, logs_BT


def _modify(law_BV: torch.Tensor, spaces: list[tuple[int, ActionSpace]], top_p: float) -> None:
    """Put μ in the place of π, for the rows of `spaces`."""
    if not spaces:
        return
    places = [place for place, _ in spaces]
    policy_RV = law_BV[places].numpy()
    changed = [
        space.modify(nucleus_V, policy_V)
        for (_, space), nucleus_V, policy_V in zip(
            spaces, nucleus(policy_RV, top_p), policy_RV, strict=True
        )
    ]
    law_BV[places] = torch.from_numpy(np.stack(changed).astype(np.float32))


def _states(
    tokenizer: Any,
    questions: Sequence[Question],
    tokens_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    budget: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Integrity (B, T) and features (B, T, F) of the states before each token."""
    integrity_BT = torch.zeros(mask_BT.shape)
    features_BTF = torch.zeros(*mask_BT.shape, FEATURES)
    for row, question in enumerate(questions):
        tokens = tokens_BT[row][mask_BT[row]].tolist()
        for t in range(len(tokens)):
            prefix = tokenizer.decode(tokens[:t], skip_special_tokens=True)
            judged = content_integrity(question.units, prefix)
            integrity_BT[row, t] = judged.score
            features_BTF[row, t] = torch.tensor([judged.recall, judged.remaining, 1 - t / budget])
    return integrity_BT, features_BTF
