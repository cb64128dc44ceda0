"""What a build shows in Prefect: artifacts with stable keys, and the event others are chained to.

Keys: `instructpe-funnel` (table), `instructpe-examples` (pictures side by side) and
`instructpe-audit` (link to the report); the event is `instructpe.published`.  The functions take
plain data and are called inside a flow or a task.  Prompts are data: every character that markdown
or HTML could read as markup is escaped.

Leaves out: computing the funnel and choosing the examples (`tasks.reporting`).
"""

import base64
import string
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
    None), and the WebP bytes of thumbnails in `raw_webp` and `target_webp` (or None).
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
        description=f"{report} on the machine that ran the build.",
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
    """Each example: what was asked, both pictures in a row, both prompts below.

    The prompts are paragraphs, because Prefect's page does not wrap the cells of a table.
    """
    return "\n\n---\n\n".join(_example(example) for example in examples)


def _example(example: Mapping[str, Any]) -> str:
    told = [plain(example["edit_kind"])] + [
        f"{label} {example[name]:+.3f}"
        for label, name in (("aesthetics", "aesthetic_gain"), ("preference", "preference_gain"))
        if example.get(name) is not None
    ]
    parts = [f"**{plain(example['instruction']).strip()}**", ", ".join(told)]
    pictures = [_picture(example.get(f"{side}_webp"), side) for side in ("raw", "target")]
    if all(pictures):
        parts.append(f"| raw | target |\n| --- | --- |\n| {' | '.join(pictures)} |")
    parts += [f"raw: {plain(example['raw_prompt'])}", f"target: {plain(example['target_prompt'])}"]
    return "\n\n".join(parts)


def plain(text: str) -> str:
    """Text that markdown and HTML show as it is, on one line, cut after `LONGEST_TEXT`.

    By backslashes: Prefect's page shows HTML entities as they are written.
    """
    cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    shown = "".join(c if c.isprintable() else " " for c in cut)
    return "".join(f"\\{c}" if c in _MARKUP else c for c in shown)


_MARKUP = frozenset(string.punctuation) - frozenset(",?'")


def _picture(webp: bytes | None, side: str) -> str:
    if webp is None:
        return ""
    return f"![{side}](data:image/webp;base64,{base64.b64encode(webp).decode()})"
