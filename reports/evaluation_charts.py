"""Charts of an evaluation as Vega-Lite specifications, made with Altair.

Each takes rows of the summary and returns specifications that are as wide as their place; the page
draws them with the JavaScript it carries.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
Spec = dict[str, Any]
COLOURS = {"better": "#1a7f37", "worse": "#b42318", "tie": "#6b7280", "too few cases": "#b8bcc4"}
OUTCOMES = ("win", "tie", "lose")
PALETTE = ("#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#0891b2", "#65a30d", "#be185d")


def differences(rows: Sequence[Row], labels: Mapping[str, str]) -> list[Spec]:
    """One forest plot a metric: each method's difference to the baseline with its interval."""
    import altair as alt

    specs = []
    for metric in dict.fromkeys(row["metric"] for row in rows):
        data = [_plain(row) for row in rows if row["metric"] == metric]
        base = alt.Chart(alt.Data(values=data)).encode(
            y=alt.Y("method:N", sort=None, title=None, axis=alt.Axis(labelLimit=150)),
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())),
                legend=None,
            ),
            tooltip=["method:N", "difference:Q", "low:Q", "high:Q", "verdict:N"],
        )
        title = "difference to the raw prompt"
        bars = base.mark_rule(strokeWidth=2).encode(
            x=alt.X("low:Q", title=title, axis=alt.Axis(tickCount=5)), x2="high:Q"
        )
        dots = base.mark_point(filled=True, size=70, opacity=1).encode(
            x=alt.X("difference:Q", title=title)
        )
        zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(
            strokeDash=[4, 3], color="#9ca3af"
        ).encode(x="zero:Q")  # fmt: skip
        chart = alt.layer(zero, bars, dots, title=labels[metric])
        specs.append(_finished(chart, height=26 * len(data)))
    return specs


def outcomes_chart(rows: Sequence[Row], label: str) -> Spec:
    """Win, tie, lose of each comparison in one metric, as stacked bars."""
    import altair as alt

    data = [
        {"pair": f"{row['method']} vs {row['baseline']}", "outcome": word, "share": row[word],
         "order": OUTCOMES.index(word)}
        for row in rows for word in OUTCOMES
    ]  # fmt: skip
    chart = (
        alt.Chart(alt.Data(values=data), title=f"win, tie, lose in {label}")
        .mark_bar()
        .encode(
            y=alt.Y("pair:N", sort=None, title=None, axis=alt.Axis(labelLimit=200)),
            x=alt.X("share:Q", title="share of the cases", axis=alt.Axis(format="%", tickCount=5),
                    scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "outcome:N", title=None, sort=list(OUTCOMES),
                scale=alt.Scale(domain=list(OUTCOMES), range=["#1a7f37", "#cbd0d8", "#b42318"]),
                legend=alt.Legend(orient="top"),
            ),
            order="order:Q",
            tooltip=["pair:N", "outcome:N", alt.Tooltip("share:Q", format=".1%")],
        )
    )  # fmt: skip
    return _finished(chart, height=24 * max(len(rows), 1))


def kinds_chart(rows: Sequence[Row], label: str) -> Spec:
    """Difference to the raw prompt by kind of edit and method, as coloured cells."""
    import altair as alt

    data = [_plain(row) for row in rows]
    most = max((abs(row["difference"]) for row in rows), default=1) or 1
    base = alt.Chart(alt.Data(values=data), title=f"{label}: difference to raw, by kind of edit")
    base = base.encode(
        x=alt.X("method:N", sort=None, title=None, axis=alt.Axis(labelAngle=-30, labelLimit=130)),
        y=alt.Y("edit_kind:N", title=None),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "difference:Q", title=None,
            scale=alt.Scale(scheme="redyellowgreen", domain=[-most, 0, most]),
        ),
        tooltip=["method:N", "edit_kind:N", "difference:Q", "low:Q", "high:Q", "cases:Q"],
    )  # fmt: skip
    dark = f"abs(datum.difference) > {0.6 * most}"  # the ends of the scale
    text = base.mark_text(fontSize=10).encode(
        text=alt.Text("difference:Q", format="+.2f"),
        color=alt.condition(dark, alt.value("white"), alt.value("black")),
    )
    return _finished(alt.layer(cells, text), height=26 * len({row["edit_kind"] for row in rows}))


def turns_chart(rows: Sequence[Row], metric: str, title: str) -> Spec:
    """A metric turn by turn, a line a method with its interval."""
    import altair as alt

    data = [_plain(row) for row in rows if row["metric"] == metric]
    base = alt.Chart(alt.Data(values=data), title=title).encode(
        x=alt.X("turn:O", axis=alt.Axis(labelAngle=0)), color=_method_colour(alt)
    )
    band = base.mark_area(opacity=0.12).encode(y=alt.Y("low:Q", title=None), y2="high:Q")
    line = base.mark_line(point=True).encode(
        y=alt.Y("mean:Q", title=None), tooltip=["method:N", "turn:O", "mean:Q", "low:Q", "high:Q"]
    )
    return _finished(alt.layer(band, line), height=190)


def curves_charts(rows: Sequence[Row]) -> list[Spec]:
    """One chart a logged term, a line a model."""
    import altair as alt

    specs = []
    for term in dict.fromkeys(row["term"] for row in rows):
        data = [
            {"model": row["model_id"][:8], "step": row["step"], "value": row["value"]}
            for row in rows if row["term"] == term
        ]  # fmt: skip
        chart = (
            alt.Chart(alt.Data(values=data), title=term)
            .mark_line()
            .encode(
                x=alt.X("step:Q", title="step", axis=alt.Axis(tickCount=5)),
                y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
                color=alt.Color("model:N", title=None, scale=alt.Scale(range=list(PALETTE)),
                                legend=alt.Legend(orient="bottom")),
                tooltip=["model:N", "step:Q", "value:Q"],
            )
        )  # fmt: skip
        specs.append(_finished(chart, height=150))
    return specs


def funnel_chart(funnel: Mapping[str, Any]) -> Spec:
    """Rows after each step of the build."""
    import altair as alt

    data = [
        {"step": name.replace("_", " "), "rows": count}
        for name, count in funnel.items()
        if isinstance(count, int) and not isinstance(count, bool)
    ]
    chart = (
        alt.Chart(alt.Data(values=data), title="the dataset, step by step")
        .mark_bar(color=PALETTE[0])
        .encode(
            y=alt.Y("step:N", sort=None, title=None),
            x=alt.X("rows:Q", title="rows", axis=alt.Axis(tickCount=5)),
            tooltip=["step:N", "rows:Q"],
        )
    )
    return _finished(chart, height=24 * max(len(data), 1))


def _method_colour(alt: Any) -> Any:
    return alt.Color(
        "method:N", title=None, sort=None, scale=alt.Scale(range=list(PALETTE)),
        legend=alt.Legend(orient="bottom", columns=2, labelLimit=150, symbolOpacity=1),
    )  # fmt: skip


def _plain(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "tis"}


def _finished(chart: Any, height: int) -> Spec:
    """As wide as its place, with the page's font; a dictionary that JSON holds."""
    chart = chart.properties(width="container", height=height, background="transparent")
    chart = chart.configure(font="system-ui, sans-serif").configure_view(stroke=None)
    chart = chart.configure_title(anchor="start", fontSize=13, fontWeight=600)
    return chart.to_dict()
