"""The dataset card of an exported version: what it is, how it was made, what it may be used for.

Everything that comes from prompts, sources or settings is text, never markup: it is escaped, and
YAML values are written as JSON strings, which YAML reads as they are.
"""

import json
import re
from typing import Any

import duckdb

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|~$<>&:@]")
EXAMPLES = 3
CLIP = 200  # characters of a text shown in the card

_SCHEMA = {
    "triple_id": "content-addressed id of the row",
    "raw_prompt_id": "id of the root raw prompt; decides the split",
    "parent_triple_id": "the turn before, for follow-ups",
    "turn": "1 for a first turn",
    "split": "train, validation or test, by hash of the root raw prompt; never moves",
    "raw_prompt": "what the instruction applies to",
    "instruction": "the edit asked for",
    "edit_kind": "add, remove, replace, attribute, style, lighting, composition, beautify, …",
    "target_prompt": "the prompt that carries out the instruction",
    "intent": "a style-free sentence for the wanted picture",
    "units": "content units: role (keep, add, remove) and text",
    "units_source": "teacher, or rule",
    "aesthetic_gain": "mean over seeds, target minus raw; null if decided without renders",
    "preference_gain": "the same of the preference scorer, asked against the intent",
    "source": "name of the first source the raw prompt was seen in",
    "licence": "licence of that source",
}


def card(
    connection: duckdb.DuckDBPyConnection, facts: dict[str, Any], splits: dict[str, int]
) -> str:
    """README.md of the export of one version."""
    version = facts["version"]
    licences = _counts(connection, version, "licence")
    kinds = _counts(connection, version, "edit_kind")
    sources = _counts(connection, version, "source")
    return "\n".join(
        [
            _front_matter(facts, splits, licences),
            f"# InstructPE, version {version}",
            "",
            "Triples (raw prompt, instruction, target prompt) that teach a language model to chat "
            "with text-to-image models, in the manner of DiffChat (arXiv 2403.04997).",
            "",
            "## Funnel",
            "",
            *_funnel(facts["funnel"]),
            "## Rows",
            "",
            *_table(("split", "rows"), list(splits.items())),
            *_table(("kind of edit", "rows"), kinds),
            "## Columns",
            "",
            *_table(("column", "meaning"), list(_SCHEMA.items())),
            "## Provenance",
            "",
            *_table(("source of the raw prompts", "rows"), sources),
            *_makers(connection, facts),
            "## Licences",
            "",
            "Each row carries the licence of its raw prompt's first source; the instruction, "
            "target and intent were written by the teacher model above, whose terms apply too.",
            "",
            *_table(("licence", "rows"), licences),
            "## Intended use",
            "",
            "Training and evaluating models that rewrite prompts on instruction. Not meant for "
            "judging people, and not free of what its sources and its teacher get wrong: the "
            "rules keep what scorers prefer, which is not the same as what is true or fair.",
            "",
            *_examples(connection, version),
        ]
    )


def _front_matter(
    facts: dict[str, Any], splits: dict[str, int], licences: list[tuple[Any, int]]
) -> str:
    named = sorted({str(name) for name, _ in licences if name})
    lines = [
        "---",
        f"pretty_name: {_yaml('InstructPE ' + str(facts['version']))}",
        "language:",
        "- en",
    ]
    lines += ["license: other", f"license_name: {_yaml(', '.join(named) or 'unknown')}"]
    lines += ["task_categories:", "- text-generation", "tags:", "- prompt-engineering"]
    lines += ["- text-to-image", "configs:", "- config_name: default", "  data_files:"]
    for split in splits:
        lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    return "\n".join([*lines, "---", ""])


def _yaml(text: str) -> str:
    return json.dumps(text)


def _counts(
    connection: duckdb.DuckDBPyConnection, version: int, column: str
) -> list[tuple[Any, int]]:
    return connection.execute(
        f"SELECT {column}, count(*) FROM published_rows WHERE version = ? "
        "GROUP BY ALL ORDER BY 2 DESC, 1 LIMIT 50",
        [version],
    ).fetchall()


def _funnel(funnel: dict[str, Any]) -> list[str]:
    steps = [(name, funnel.get(name)) for name in ("sightings", "collected", "proposed")]
    steps += [("rendered", funnel.get("rendered")), ("accepted", funnel.get("accepted"))]
    shown = [(name, "not rendered" if n is None else n) for name, n in steps]
    lines = _table(("step", "rows"), shown)
    for title, key in (("line refused for", "refused_lines"), ("triple refused for", "refused")):
        if funnel.get(key):
            lines += _table((title, "rows"), list(funnel[key].items()))
    return lines


def _makers(connection: duckdb.DuckDBPyConnection, facts: dict[str, Any]) -> list[str]:
    """Teacher, text-to-image models, scorers and rules behind the version."""
    lines = []
    for kind, settings in connection.execute(
        "SELECT DISTINCT kind, settings FROM recipes JOIN triples USING (recipe_id) "
        "JOIN published_rows USING (triple_id) WHERE version = ? ORDER BY ALL LIMIT 20",
        [facts["version"]],
    ).fetchall():
        lines.append(f"- Recipe: {_text(kind)}, {_text(_clip(settings, 600))}")
    rules = connection.execute(
        "SELECT rules FROM decision_sets WHERE decision_set_id = ?", [facts["decision_set_id"]]
    ).fetchall()
    question = json.loads(rules[0][0]) if rules else {}
    for (name,) in connection.execute(
        "SELECT name FROM tis_models WHERE tis_id = ?", [question.get("tis_id")]
    ).fetchall():
        lines.append(f"- Text-to-image model: {_text(name)}")
    for name, measures in connection.execute(
        "SELECT name, measures FROM scorers WHERE scorer_id IN (?, ?) ORDER BY ALL",
        [question.get("aesthetics_id"), question.get("preference_id")],
    ).fetchall():
        lines.append(f"- Scorer of {_text(measures)}: {_text(name)}")
    lines.append(f"- Rules: {_text(json.dumps(question.get('rules', {}), sort_keys=True))}")
    lines.append(f"- Profile {_text(facts['profile'])}, settings {_text(facts['settings_hash'])}")
    return [*lines, ""]


def _examples(connection: duckdb.DuckDBPyConnection, version: int) -> list[str]:
    rows = connection.execute(
        "SELECT raw_prompt, instruction, target_prompt FROM published_rows WHERE version = ? "
        "AND split = 'train' ORDER BY triple_id LIMIT ?",
        [version, EXAMPLES],
    ).fetchall()
    if not rows:
        return []
    header = ("raw prompt", "instruction", "target prompt")
    return ["## Examples", "", *_table(header, [tuple(map(_clip, row)) for row in rows])]


def _clip(text: str | None, length: int = CLIP) -> str:
    text = text or ""
    return text if len(text) <= length else text[: length - 1] + "…"


def _table(header: tuple[str, ...], rows: list[Any]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}"]
    lines += [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]
    return [*lines, ""]


def _text(value: Any) -> str:
    """Any value as one line of inert markdown: no markup, no HTML, no template, no line break."""
    line = " ".join(str("" if value is None else value).split())
    line = "".join(c for c in line if c.isprintable())
    return _MARKUP.sub(lambda found: f"&#{ord(found[0])};", line)
