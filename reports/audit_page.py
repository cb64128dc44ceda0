"""The page of an audit: what was expected, what was observed, which rows offend.

One self-contained HTML file without scripts.  Prompts are data: every value is escaped, shown
with its control characters spelled out, and cut where it is long.

Leaves out: the judging (`tasks.audit`).
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

LONGEST_VALUE = 400  # characters of a cell

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}
h1{font-size:1.5rem} h2{font-size:1.1rem;margin-top:2rem}
table{border-collapse:collapse;margin:.5rem 0;display:block;overflow-x:auto}
td,th{border:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}
th{background:#f5f5f5} .passed{color:#1a7f37} .failed{color:#b42318;font-weight:600}
.hint{background:#fff8e6;padding:.25rem .5rem} code{white-space:pre-wrap;overflow-wrap:anywhere}
"""


def audit_page(title: str, rows: int, findings: Sequence[Mapping[str, Any]]) -> str:
    """The page as HTML text.

    A finding has `says`, `passed`, `observed` (name → value), `hint` and `offending` (rows as
    name → value).  Failed ones come first, with their rows.
    """
    failed = [finding for finding in findings if not finding["passed"]]
    verdict = (
        f"{len(failed)} of {len(findings)} expectations failed: nothing was published."
        if failed
        else f"All {len(findings)} expectations hold."
    )
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>",
            f"<h1>{_text(title)}</h1>",
            f'<p class="{"failed" if failed else "passed"}">{verdict}</p><p>{rows:,} rows.</p>',
            *(_failure(finding) for finding in failed),
            "<h2>All expectations</h2>",
            _table(
                [
                    {
                        "": "failed" if not finding["passed"] else "passed",
                        "expectation": finding["says"],
                        "observed": _observed(finding["observed"]),
                    }
                    for finding in findings
                ]
            ),
            "</body></html>",
        ]
    )


def _failure(finding: Mapping[str, Any]) -> str:
    parts = [
        f'<h2 class="failed">{_text(finding["says"])}</h2>',
        f"<p>{_text(_observed(finding['observed']))}</p>",
    ]
    if finding["hint"]:
        parts.append(f'<p class="hint">{_text(finding["hint"])}</p>')
    if finding["offending"]:
        parts.append(f"<p>{len(finding['offending'])} of the offending rows:</p>")
        parts.append(_table(finding["offending"]))
    return "\n".join(parts)


def _observed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in values.items())


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0])
    head = "".join(f"<th>{_text(name)}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{_cell(row[name])}</td>" for name in names) + "</tr>\n"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value in ("passed", "failed"):
        return f'<span class="{value}">{value}</span>'
    return f"<code>{_text(value)}</code>"


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    if len(text) > LONGEST_VALUE:
        text = f"{text[:LONGEST_VALUE]}… ({len(text):,} characters)"
    shown = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)
    return html.escape(shown, quote=True)
