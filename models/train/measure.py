"""What a student does with questions whose target is known: figures of a training, by split.

    measure(policy, rows, parents)  ->  {"cases": 200, "integrity": 0.93, "exact": 0.61, …}

`integrity` is content integrity of the greedy answer (`models.integrity`); `loss` (nats) and
`accuracy` are of the target's tokens, given the ones before; `words` counts the answer's words,
`words_of_target` the target's.  Pictures are looked at by the evaluation, not here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from models.integrity import content_integrity
from models.train.data import Row, example_of, is_hard, tokenise
from models.train.policy import Policy
from schemas.units import Unit

CHUNK = 32  # examples in one forward pass


def measure(
    policy: Policy,
    rows: Sequence[Row],
    parents: Mapping[str, Row],
    on_rows: Callable[[int], None] = lambda rows: None,
    plain: int | None = None,
) -> dict[str, dict[str, float | int]]:
    """Figures over `rows` under "test", over the hard ones under "hard".

    With `plain`, "test" is about the first so many rows: hard ones may be added behind them.
    Cases that do not fit the context are counted under "too_long" and in no mean.
    """
    examples = [example_of(row, parents) for row in rows]
    tokens = tokenise(examples, policy.tokenizer)
    room = policy.context or max((len(ids) for ids, _ in tokens), default=0)
    fitting = [i for i, (ids, _) in enumerate(tokens) if len(ids) <= room]
    losses = _forced(policy, [tokens[i] for i in fitting])
    cases = []
    for start in range(0, len(fitting), CHUNK):
        chunk = fitting[start : start + CHUNK]
        answers = policy.rewrite([examples[i].conversation for i in chunk])
        for i, (answer,), loss in zip(chunk, answers, losses[start : start + CHUNK], strict=True):
            cases.append(_case(rows[i], answer.prompt, answer.finished, loss))
        on_rows(len(chunk))
    hard = [case for i, case in zip(fitting, cases, strict=True) if is_hard(rows[i])]
    tests = [c for i, c in zip(fitting, cases, strict=True) if plain is None or i < plain]
    found = {"test": _means(tests), "hard": _means(hard)}
    if len(fitting) < len(rows):
        found["test"]["too_long"] = len(rows) - len(fitting)
    return found


def _case(row: Row, prompt: str, finished: bool, forced: tuple[float, int, int]) -> dict[str, Any]:
    units = [Unit(unit["role"], unit["text"]) for unit in row["units"] or ()]
    loss, right, tokens = forced
    return {
        "integrity": content_integrity(units, prompt).score,
        "exact": prompt.split() == row["target_prompt"].split(),
        "finished": finished,
        "words": len(prompt.split()),
        "words_of_target": len(row["target_prompt"].split()),
        "loss": loss,
        "right": right,
        "tokens": tokens,
    }


def _means(cases: Sequence[dict[str, Any]]) -> dict[str, float | int]:
    if not cases:
        return {"cases": 0}
    plain = ("integrity", "exact", "finished", "words", "words_of_target")
    means = {name: sum(case[name] for case in cases) / len(cases) for name in plain}
    tokens = sum(case["tokens"] for case in cases)
    means["loss"] = sum(case["loss"] for case in cases) / tokens
    means["accuracy"] = sum(case["right"] for case in cases) / tokens
    return {"cases": len(cases)} | {name: round(value, 4) for name, value in means.items()}


def _forced(
    policy: Policy, tokens: Sequence[tuple[list[int], int]]
) -> list[tuple[float, int, int]]:
    """(summed loss in nats, tokens predicted right, tokens) of each target, all tokens given."""
    import torch

    results: list[tuple[float, int, int]] = []
    for start in range(0, len(tokens), CHUNK):
        chunk = tokens[start : start + CHUNK]
        width = max(len(ids) for ids, _ in chunk)
        ids = torch.full((len(chunk), width), policy.tokenizer.pad_token_id)
        mask = torch.zeros_like(ids)
        asked = torch.zeros_like(ids, dtype=torch.bool)
        for row, (example, prompt) in enumerate(chunk):
            ids[row, : len(example)] = torch.tensor(example)
            mask[row, : len(example)] = 1
            asked[row, prompt : len(example)] = True
        ids, mask, asked = (t.to(policy.device) for t in (ids, mask, asked))
        with torch.inference_mode():
            logits = policy.model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        wanted, asked = ids[:, 1:], asked[:, 1:]
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), reduction="none"
        ).view_as(wanted)
        right = (logits.argmax(-1) == wanted) & asked
        sums = [(losses * asked).sum(1), right.sum(1), asked.sum(1)]
        results += [
            (float(a), int(b), int(c)) for a, b, c in zip(*(s.tolist() for s in sums), strict=True)
        ]
    return results
