"""The words above the tables: what the numbers of an evaluation say, and what they do not.

Every sentence is made of rows of the summary; nothing is computed here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

BASELINES = ("raw", "pasted", "teacher", "edit")
Row = Mapping[str, Any]


def verdict_of(summary: Row) -> dict[str, Any]:
    """`headline`, and `points` with a tone (good, bad, even, note) each."""
    judged = [column for column in summary["columns"] if column["kind"] not in BASELINES]
    others = [column for column in summary["columns"] if column["kind"] != "raw"]
    labels = {metric["name"]: metric["label"] for metric in summary["metrics"]}
    points: list[dict[str, str]] = []
    for column in judged or others:
        points += _of_column(summary, column["name"], labels)
    points += _failures(summary) + _cautions(summary)
    return {"headline": _headline(summary, judged or others), "points": points}


def main_rows(summary: Row, table: str) -> list[Row]:
    """Rows of the main text-to-image model."""
    return [row for row in summary[table] if row.get("tis") == summary["tis"][0]]


def _headline(summary: Row, columns: Sequence[Row]) -> str:
    cases = f"{summary['cases']} cases of {summary['clusters']} prompts"
    if not columns:
        return f"Only the raw prompt was evaluated, on {cases}: there is nothing to compare."
    parts = []
    for column in columns[:4]:
        rows = [r for r in main_rows(summary, "against") if r["method"] == column["name"]]
        better = sum(r["verdict"] == "better" for r in rows)
        worse = sum(r["verdict"] == "worse" for r in rows)
        fired = sum(a["fired"] for a in summary["alarms"] if a["method"] == column["name"])
        few = sum(r["verdict"] == "too few cases" for r in rows)
        even = len(rows) - better - worse - few
        said = f"{column['name']}: {better} better, {worse} worse, {even} even"
        if few == len(rows):
            said = f"{column['name']}: too few cases to tell"
        parts.append(said + (f", {fired} alarms" if fired else ""))
    return f"Against the raw prompt, on {cases}. {'; '.join(parts)}."


def _of_column(summary: Row, name: str, labels: Mapping[str, str]) -> list[dict[str, str]]:
    rows = [row for row in main_rows(summary, "against") if row["method"] == name]
    points = []
    for tone, word in (("bad", "worse"), ("good", "better")):
        found = [row for row in rows if row["verdict"] == word]
        if found:
            said = "; ".join(f"{labels[row['metric']]} {interval(row)}" for row in found)
            points.append(
                {"tone": tone, "text": f"{name} is {word} than the raw prompt in {said}."}
            )
    if rows and not points:
        text = f"{name}: no difference to the raw prompt that these cases can show."
        points.append({"tone": "even", "text": text})
    liked = next((row for row in rows if row["metric"] == "preference"), None)
    held = next((row for row in rows if row["metric"] == "held_out"), None)
    if liked and held and liked["verdict"] == "better" and held["verdict"] != "better":
        text = (f"{name}: the held-out scorer does not share the gain in preference "
                f"({interval(held)}); look at the pictures.")  # fmt: skip
        points.append({"tone": "bad", "text": text})
    fired = [a["detector"] for a in summary["alarms"] if a["method"] == name and a["fired"]]
    if fired:
        points.append({"tone": "bad", "text": f"{name}: alarms for {', '.join(fired)}."})
    return points


def interval(row: Row, name: str = "difference") -> str:
    """A difference with its interval, or that there are too few cases for one."""
    value = f"{row[name]:+.3f}" if name == "difference" else f"{row[name]:.3f}"
    if row["low"] is None:
        return f"{value} (too few cases for an interval)"
    sign = "+" if name == "difference" else ""
    return f"{value} [{row['low']:{sign}.3f}, {row['high']:{sign}.3f}]"


def _failures(summary: Row) -> list[dict[str, str]]:
    return [
        {
            "tone": "bad",
            "text": f"{row['method']} left {row['failed']} of {row['of']} cases without an "
            f"answer: {row['error']}",
        }
        for row in summary["failures"]
    ]


def _cautions(summary: Row) -> list[dict[str, str]]:
    notes = []
    if summary["clusters"] < 30:
        notes.append(f"{summary['clusters']} prompts are few: only large differences can show.")
    models = [c for c in summary["columns"] if c["kind"] == "model"]
    single = [column["name"] for column in models if column["seeds"] == 1]
    if single:
        notes.append(f"One training seed of {', '.join(single)}: another seed may differ by more "
                     "than these intervals, which are about cases alone.")  # fmt: skip
    if summary["from_dataset"] and any(c["kind"] == "teacher" for c in summary["columns"]):
        notes.append(
            "The teacher's targets were accepted by the preference and aesthetic scorers, on "
            "other seeds: its gains in these are selected, its held-out gain is not."
        )
    if len(summary["tis"]) == 1:
        notes.append("One text-to-image model: nothing is said here about transfer to another.")
    return [{"tone": "note", "text": text} for text in notes]
