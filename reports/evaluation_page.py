"""The page of an evaluation: one HTML file that needs no network.

Pictures are data URIs, charts are drawn by the Vega that the page carries, and its content
security policy allows no request at all.  Prompts are data: the templates escape everything, and
chart data is JSON in which no `<` is left.

Leaves out computing anything: summary and cases come as they are shown.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from reports import evaluation_charts as charts
from reports.difference import cut, difference
from reports.verdict import interval, main_rows

Row = Mapping[str, Any]


def evaluation_page(summary: Row, cases: Sequence[Row], conversations: Sequence[Row] = ()) -> str:
    """HTML of a report.

    `cases` are the cases to show, worst first, and `conversations` those to show turn by turn,
    both with their pictures' bytes.
    """
    labels = {metric["name"]: metric["label"] for metric in summary["metrics"]}
    specs: list[dict[str, Any]] = []

    def chart(spec: dict[str, Any]) -> int:
        specs.append(spec)
        return len(specs) - 1

    sections = {
        "differences": [
            chart(s) for s in charts.differences(main_rows(summary, "against"), labels)
        ],
        "outcomes": [chart(s) for s in _outcomes(summary, labels)],
        "kinds": [chart(s) for s in _kinds(summary, labels)],
        "turns": [chart(s) for s in _turns(summary)],
        "curves": [chart(s) for s in charts.curves_charts(summary["curves"])],
        "funnel": [chart(charts.funnel_chart(summary["funnel"]))] if summary["funnel"] else [],
    }
    return _template("evaluation.html").render(
        summary=summary,
        labels=labels,
        means=means_table(summary),
        against=main_rows(summary, "against"),
        transfer=transfer_table(summary),
        cases=[_shown(case) for case in cases],
        conversations=[_told(conversation) for conversation in conversations],
        charts=sections,
        specs=specs,
        vega=vega(),
        interval=interval,
        provenance=json.dumps(summary["provenance"], ensure_ascii=False, indent=1),
    )


def comparison_page(older: Row, newer: Row, rows: Sequence[Row]) -> str:
    """HTML of what changed between two evaluations; `rows` as of `changes`."""
    labels = {metric["name"]: metric["label"] for metric in newer["metrics"]}
    return _template("comparison.html").render(
        older=older, newer=newer, rows=rows, labels=labels, differ=differences(older, newer)
    )


def differences(older: Row, newer: Row) -> list[str]:
    """What two evaluations do not share, so that a change may not be the models'; in words."""
    one, two = older["provenance"], newer["provenance"]
    found = []
    versions = [one["dataset_version"], two["dataset_version"]]
    if versions[0] != versions[1]:
        told = " and ".join("a file" if v is None else f"dataset version {v}" for v in versions)
        found.append(f"Their cases are of {told}.")
    if one["case_set_id"] != two["case_set_id"]:
        found.append("They were asked different cases: a change may be the cases' alone.")
    if one["tis"][0]["tis_id"] != two["tis"][0]["tis_id"]:
        found.append("They used different text-to-image models: pictures cannot be compared.")
    if one["seeds"] != two["seeds"]:
        found.append("They used different seeds.")
    scorers = [{s["scorer_id"] for s in side["scorers"]} for side in (one, two)]
    if scorers[0] != scorers[1]:
        found.append("They used different scorers: scores cannot be compared.")
    return found


def changes(older: Row, newer: Row) -> list[dict[str, Any]]:
    """Means that both have, with their change; those outside the other's interval first.

    The two are not paired (other cases, or other seeds, may be behind them), so the change is
    called clear only where the intervals do not meet.
    """
    before = {(row["method"], row["metric"]): row for row in main_rows(older, "means")}
    rows = []
    for row in main_rows(newer, "means"):
        old = before.get((row["method"], row["metric"]))
        if old is None:
            continue
        known = None not in (row["low"], row["high"], old["low"], old["high"])
        clear = known and (row["low"] > old["high"] or row["high"] < old["low"])
        rows.append(
            {
                "method": row["method"],
                "metric": row["metric"],
                "before": old["mean"],
                "after": row["mean"],
                "change": row["mean"] - old["mean"],
                "clear": clear,
            }
        )
    return sorted(rows, key=lambda row: not row["clear"])


def means_table(summary: Row) -> list[dict[str, Any]]:
    """Per metric, a cell for each column: mean and interval, and how it compares with raw."""
    cells = {(r["metric"], r["method"]): r for r in main_rows(summary, "means")}
    verdicts = {(r["metric"], r["method"]): r for r in main_rows(summary, "against")}
    rows = []
    for metric in summary["metrics"]:
        found = [
            {"mean": cells.get((metric["name"], column["name"])),
             "gap": verdicts.get((metric["name"], column["name"]))}
            for column in summary["columns"]
        ]  # fmt: skip
        if any(cell["mean"] for cell in found):
            rows.append({"metric": metric, "cells": found})
    return rows


def transfer_table(summary: Row) -> list[Row]:
    """Comparisons with raw under the text-to-image models that are not the main one."""
    return [row for row in summary["against"] if row["tis"] != summary["tis"][0]]


def _outcomes(summary: Row, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    pairs = [r for r in summary["pairs"] if r["metric"] in ("preference", "held_out")]
    shown = []
    for metric in ("preference", "held_out"):
        rows = [row for row in pairs if row["metric"] == metric]
        if rows:
            shown.append(charts.outcomes_chart([_raw_last(row) for row in rows], labels[metric]))
    return shown


def _raw_last(row: Row) -> Row:
    """A pair with the raw prompt reads "method vs raw"."""
    if row["method"] != "raw":
        return row
    swapped = {"method": row["baseline"], "baseline": "raw", "win": row["lose"], "lose": row["win"]}
    return dict(row) | swapped


def _kinds(summary: Row, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    shown = []
    for metric in ("preference", "integrity"):
        rows = [row for row in summary["by_kind"] if row["metric"] == metric]
        if rows:
            shown.append(charts.kinds_chart(rows, labels[metric]))
    return shown


def _turns(summary: Row) -> list[dict[str, Any]]:
    titles = {
        "integrity": "content integrity",
        "lost": "share of earlier content lost",
        "words": "words",
    }
    if not summary["turns"]:
        return []
    return [charts.turns_chart(summary["turns"], name, title) for name, title in titles.items()]


def _shown(case: Row) -> dict[str, Any]:
    answers = [_drawn(answer, case["raw_prompt"]) for answer in case["answers"]]
    texts = {name: cut(case[name] or "") for name in ("raw_prompt", "instruction", "intent")}
    return dict(case) | texts | {"answers": answers}


def _told(conversation: Row) -> dict[str, Any]:
    """A conversation; each answer differs from the method's own before."""
    turns = [
        {"instruction": cut(turn["instruction"]),
         "answers": [_drawn(answer, answer["before"]) for answer in turn["answers"]]}
        for turn in conversation["turns"]
    ]  # fmt: skip
    return {"raw_prompt": cut(conversation["raw_prompt"]), "turns": turns}


def _drawn(answer: Row, before: str) -> dict[str, Any]:
    text = answer["prompt"]
    pieces = difference(before, text) if text else []
    return dict(answer) | {"pieces": pieces, "image": _data_uri(answer["image"])}


def _data_uri(image: bytes | None) -> str | None:
    if image is None:
        return None
    kind = "png" if image.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


@lru_cache(maxsize=1)
def vega() -> str:
    """The JavaScript that draws the charts: vega, vega-lite and vega-embed in one bundle."""
    import vl_convert

    # Without a snippet of ours the bundle exports what the page calls; the stub wants a string.
    bundle = vl_convert.javascript_bundle(None)  # pyright: ignore[reportArgumentType]
    return bundle.replace("</script", "<\\/script")


def _template(name: str) -> Any:
    from jinja2 import Environment, FunctionLoader

    def read(name: str) -> str:
        return (files("reports") / "templates" / name).read_text(encoding="utf-8")

    environment = Environment(loader=FunctionLoader(read), autoescape=True, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    return environment.get_template(name)
