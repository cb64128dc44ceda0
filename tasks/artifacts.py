"""What a build shows in Prefect: artifacts with stable keys, and the event others are chained to.

Keys: `instructpe-funnel` (table), `instructpe-examples` (pictures side by side) and
`instructpe-audit` (link to the report); the event is `instructpe.published`.  The functions take
plain data and are called inside a flow or a task.  Prompts are data: every character that markdown
or HTML could read as markup is written as an entity.

Leaves out: computing the funnel and choosing the examples (`tasks.reporting`).
"""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

FUNNEL_KEY = "instructpe-funnel"
EXAMPLES_KEY = "instructpe-examples"
AUDIT_KEY = "instructpe-audit"
PUBLISHED = "instructpe.published"
LONGEST_TEXT = 500  # characters of a prompt in the examples


def show_funnel(funnel: Mapping[str, Any]) -> None:
    """The table of a funnel: counts by step, and counts by reason where a step has reasons.

    A value is a count, None where the step was not run, or a mapping from reason to count.
    """
    create_table_artifact(
        table=funnel_rows(funnel),
        key=FUNNEL_KEY,
        description="Rows after each step of the build, and why the others are not there.",
    )


def show_examples(examples: Sequence[Mapping[str, Any]]) -> None:
    """Published rows with both pictures; nothing where there are none.

    An example has `raw_prompt`, `instruction`, `target_prompt`, `edit_kind`, the two gains (or
    None), and the PNG bytes of thumbnails in `raw_png` and `target_png` (or None).
    """
    if examples:
        create_markdown_artifact(
            markdown=examples_markdown(examples),
            key=EXAMPLES_KEY,
            description="Some rows of the published version: same seed on both sides.",
        )


def show_audit(report: str) -> None:
    """The link to the audit's report, a file on the machine that ran the build."""
    create_link_artifact(
        link=Path(report).resolve().as_uri(),
        link_text="Great Expectations audit",
        key=AUDIT_KEY,
        description=f"{plain(report)} on the machine that ran the build.",
    )


def announce(version: int, profile: str, rows: int) -> None:
    """Emit `instructpe.published`: what a deployment trigger starts the next flow on."""
    emit_event(
        PUBLISHED,
        resource={
            "prefect.resource.id": f"instructpe.version.{version}",
            "prefect.resource.name": f"InstructPE version {version}",
            "instructpe.profile": profile,
        },
        payload={"version": version, "profile": profile, "rows": rows},
    )


def funnel_rows(funnel: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of the funnel's table: step, reason ("" for the step's own count), rows."""
    rows: list[dict[str, Any]] = []
    for step, value in funnel.items():
        counts = value if isinstance(value, Mapping) else {"": value}
        rows += [
            {"step": step.replace("_", " "), "reason": reason, "rows": count}
            for reason, count in counts.items()
        ]
    return rows


def examples_markdown(examples: Sequence[Mapping[str, Any]]) -> str:
    """A markdown table: the raw prompt and its picture left, the target and its picture right."""
    lines = ["| raw prompt | instruction | target prompt |", "| --- | --- | --- |"]
    for example in examples:
        gains = ", ".join(
            f"{label} {example[name]:+.3f}"
            for label, name in (("aesthetics", "aesthetic_gain"), ("preference", "preference_gain"))
            if example.get(name) is not None
        )
        cells = (
            f"{_picture(example.get('raw_png'), 'raw')}{plain(example['raw_prompt'])}",
            f"{plain(example['instruction'])}<br>{plain(example['edit_kind'])}<br>{gains}",
            f"{_picture(example.get('target_png'), 'target')}{plain(example['target_prompt'])}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text that markdown and HTML show as it is, on one line, cut after `LONGEST_TEXT`."""
    cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    shown = "".join(c if c.isprintable() else " " for c in cut)
    return "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in shown)


def _picture(png: bytes | None, side: str) -> str:
    if png is None:
        return ""
    return f"![{side}](data:image/png;base64,{base64.b64encode(png).decode()})<br>"
