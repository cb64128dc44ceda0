"""The card of a trained model: README.md in its folder, as the hub shows it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from models.weights import local
from schemas.chat import messages_of

NAMES = {
    "integrity": "content integrity",
    "exact": "equal to the target",
    "accuracy": "target tokens right",
    "loss": "loss a target token",
    "finished": "ended by itself",
    "words": "words",
    "words_of_target": "words of the target",
    "cases": "cases",
}
_CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
{hub_base}tags: [diffchat, prompt-rewriting, {method}]
---
# DiffChat {short}

A language model that rewrites prompts for text-to-image models: it is given a prompt and an
instruction in plain words and answers with the new prompt and nothing else. Made by
[DiffChat](https://arxiv.org/abs/2403.04997)'s method, step `{method}`, from `{base}` on {data}.

## Use

The chat template is in this folder, so `transformers`, `vllm serve .` and `trl` take it as it is.
The messages have this form; an answered turn is an assistant message that holds its prompt.

```python
from transformers import pipeline

messages = {messages}
print(pipeline("text-generation", ".")(messages)[0]["generated_text"][-1]["content"])
```

## Figures

Greedy answers to the test split, which no training saw; *hard*: three or more units to add or
remove, or several edits in one instruction. Losses are in nats, all other figures are means over
cases. Pictures are judged by `diffchat evaluate`.

{table}{learning}{left_out}
## How it was made

| | |
| --- | --- |
| model id | `{model_id}` |
| base | `{base}`, content `{base_hash}` |
| parent | {parent} |
| dataset | {data}, snapshot {snapshot_id} |
| steps | {course} |
| seed | {seed} |
| code | {code_revision} |
| trained | {trained_at} |

```json
{settings}
```
"""


def write_card(folder: Path, columns: Mapping[str, Any], data: str, course: str) -> Path:
    """Write README.md for a row of `model_versions`.

    `data` says in words what it learnt from, `course` how long and to which end.  A base that is a
    folder, as every model with a parent has, is called by its name: its path means nothing
    elsewhere, and the hub takes only ids.
    """
    metrics, base, parent = columns["metrics"], columns["base"], columns["parent_model_id"]
    path = local(base) or (Path(base) if parent else None)
    text = _CARD.format(
        **{name: columns[name] for name in ("base_hash", "method", "model_id", "seed")},
        **{name: columns[name] for name in ("snapshot_id", "code_revision", "trained_at")},
        base=path.name if path else base,
        hub_base="" if path else f"base_model: {base.partition('@')[0]}\n",
        short=columns["model_id"][:12],
        data=data,
        messages=json.dumps(messages_of("a cat", "make it night"), indent=4),
        table=table(metrics),
        learning=learning(metrics),
        left_out=_left_out(metrics),
        parent=f"`{parent}`" if parent else "none",
        course=course,
        settings=json.dumps(columns["settings"], indent=2, sort_keys=True),
    )
    card = folder / "README.md"
    card.write_text(text, encoding="utf-8")
    return card


def figures(metrics: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """(what, base test, trained test, base hard, trained hard) of the figures there are."""
    columns = [metrics["base"]["test"], metrics["test"], metrics["base"]["hard"], metrics["hard"]]
    rows = []
    for name, title in NAMES.items():
        values = [column.get(name) for column in columns]
        if any(value is not None for value in values):
            rows.append((title, *(_shown(value) for value in values)))
    return rows


def table(metrics: Mapping[str, Any]) -> str:
    """`figures` in Markdown."""
    lines = ["| | base | trained | base, hard | trained, hard |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {' | '.join(row)} |" for row in figures(metrics)]
    return "\n".join(lines) + "\n"


def fifths(metrics: Mapping[str, Any]) -> list[tuple[str, float, float]]:
    """(term, mean over the first fifth of an RL run's steps, over the last) of what there is."""
    first, last = "_first_fifth", "_last_fifth"
    terms = [name.removesuffix(last) for name in metrics if name.endswith(last)]
    known = (term for term in terms if term + first in metrics)
    return [(term, metrics[term + first], metrics[term + last]) for term in known]


def rise(metrics: Mapping[str, Any]) -> str:
    """How much the reward rose from the first fifth to the last, in a sentence; "" if unknown."""
    if "reward_rise" not in metrics:
        return ""
    gain, error = metrics["reward_rise"], metrics["reward_rise_error"]
    moved = "rose" if gain >= 0 else "fell"
    size = f"{abs(gain) / error:.1f} standard errors" if error > 0 else "without any noise"
    asked = " on the same questions" if metrics["reward_rise_paired"] else ""
    return f"The reward {moved} by {abs(gain):.2f}{asked}, {size} of the difference."


def learning(metrics: Mapping[str, Any]) -> str:
    """`fifths` in Markdown; nothing for a model that did not learn from rewards."""
    rows = "".join(f"| {term} | {a:.3f} | {b:.3f} |\n" for term, a, b in fifths(metrics))
    if not rows:
        return ""
    head = "\nOn-policy means over steps of the training:\n\n| | first fifth | last fifth |\n"
    return f"{head}| --- | --- | --- |\n{rows}\n{rise(metrics)}\n"


def _left_out(metrics: Mapping[str, Any]) -> str:
    count = sum(split["too_long"] for split in metrics.get("rows", {}).values())
    if not count:
        return ""
    return f"\n{count} examples were longer than the context and left out: `left_out.jsonl`.\n"


def _shown(value: float | int | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
