"""The page's pictures, as Vega-Lite specifications, by Altair.

Altair rather than Plotly, as what draws them in the browser weighs 0.9 MB of the page and not 4.5 MB, and the
figures stand in it as JSON. Colours are variables of the page's style, so that a picture follows it into the
dark.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from altair.utils.schemapi import UndefinedType

from xmlkit.blend.calibration import Bin
from xmlkit.comparison.compare import SHOWN, Comparison
from xmlkit.report.curves import Curve
from xmlkit.report.suite import DRAWN, Measured, Step
from xmlkit.report.tested import Tenth

MOST_POINTS = 600  # of a curve; of more every so many-th and the last
NOISY = 40  # points from which on a running mean is drawn over them
COLOURS = [f"var(--series-{number})" for number in range(1, 8)]
DASHES = [[1, 0], [6, 3], [2, 2]]  # of the first lines that have a colour, of the next, and of those behind
HEIGHT = 220
LEGEND = 44  # letters that are sure to fit side by side
ABOVE, BELOW, NEAR = 0.037, -0.029, 0.032  # where names stand, and how near they meet, of the figures' range
A_LETTER = 0.0058  # of the axis' width
FAR_BELOW = 1 / 3  # of the best: drawn too, it would press all others together
WHOSE = {True: "xmlkit", False: "peers"}
SPANS = {1: "1 s", 10: "10 s", 60: "1 min", 600: "10 min", 3600: "1 h", 36000: "10 h", 360000: "100 h"}
Spec = dict[str, Any]


def curves(found: Mapping[str, Curve], unit: str = "") -> Spec:
    """Lines over the epochs; where there are many points, faint, with a running mean over them."""
    rows = [
        {"name": name, "step": point.step, "epoch": round(point.epoch, 4), "value": point.value}
        for name, curve in found.items()
        for point in thinned(curve)
    ]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("epoch:Q", title="epoch"),
        y=alt.Y("value:Q", title=unit or None, scale=alt.Scale(zero=False, nice=True)),
        color=_colour("name", list(found), len(found) > 1),
        strokeDash=_dashes("name", list(found)),
        tooltip=[
            alt.Tooltip("name:N", title="figure"),
            alt.Tooltip("value:Q", format=".4~f"),
            alt.Tooltip("epoch:Q", format=".2f"),
            alt.Tooltip("step:Q", format=","),
        ],
    )
    near = base.mark_point(opacity=0, size=90)
    if not is_noisy(found):
        few = len(rows) < NOISY * len(found)
        dots = alt.OverlayMarkDef(size=45, filled=True) if few else False
        return _spec(alt.layer(base.mark_line(point=dots, strokeWidth=2), near))
    smooth = base.transform_window(
        smooth="mean(value)", frame=[-5, 5], groupby=["name"], sort=[alt.SortField("step")]
    ).mark_line(strokeWidth=2.2)
    faint = base.mark_line(opacity=0.3, strokeWidth=1)
    return _spec(alt.layer(faint, smooth.encode(y="smooth:Q"), near))


def is_noisy(found: Mapping[str, Curve]) -> bool:
    """Whether a running mean is worth while: many points, and up and down at a quarter of them."""
    curve = np.array([point.value for point in max(found.values(), key=len)])
    turns = (np.sign(np.diff(curve[1:])) * np.sign(np.diff(curve[:-1])) < 0).sum()
    return len(curve) >= NOISY and bool(turns >= len(curve) / 4)


def thinned(curve: Curve) -> Curve:
    """As many points as a picture can show, the first and the last among them."""
    if len(curve) <= MOST_POINTS:
        return curve
    return [curve[place] for place in np.linspace(0, len(curve) - 1, MOST_POINTS).astype(int)]


def frequencies(counts_L: np.ndarray) -> Spec:
    """How many labels have so many training documents: none, 1, 2 to 3, 4 to 7, ..."""
    place_L = np.where(counts_L > 0, np.floor(np.log2(np.maximum(counts_L, 1))) + 1, 0).astype(int)
    labels = np.bincount(place_L)
    lows = [0, *(2**place for place in range(len(labels) - 1))]
    spans = [f"{low}" if low < 2 else f"{low}-{2 * low - 1}" for low in lows]
    rows = [{"span": span, "labels": int(count)} for span, count in zip(spans, labels, strict=True)]
    shown = rows if labels[0] else rows[1:]
    chart = alt.Chart(alt.Data(values=shown)).mark_bar(color=COLOURS[0], cornerRadiusEnd=2)
    axis = alt.Axis(labelAngle=-40, labelOverlap=False)
    return _spec(
        chart.encode(
            x=alt.X("span:N", sort=None, title="training documents of a label", axis=axis),
            y=alt.Y("labels:Q", title="labels"),
            tooltip=[alt.Tooltip("span:N", title="documents"), alt.Tooltip("labels:Q", format=",")],
        )
    )


def tenths(found: Sequence[Tenth], metric: str, ks: Sequence[int]) -> Spec:
    """What each tenth of the labels brings to a metric, in points, for each k."""
    names = [f"{metric}@{k}" for k in ks]
    return _bars(found, {name: [tenth.parts[name] for tenth in found] for name in names}, "points")


def assigned_tenths(found: Sequence[Tenth]) -> Spec:
    """Precision and recall of the labels that are assigned, for each tenth."""
    columns = {name: [tenth.of.micro[place] for tenth in found] for place, name in enumerate(("P", "R"))}
    return _bars(found, columns, "%")


def _bars(found: Sequence[Tenth], columns: Mapping[str, Sequence[float]], unit: str) -> Spec:
    rows = [
        {"tenth": number, "span": span_of(tenth), "name": name, "value": round(values[number - 1], 4)}
        for number, tenth in enumerate(found, 1)
        for name, values in columns.items()
    ]
    chart = alt.Chart(alt.Data(values=rows)).mark_bar(cornerRadiusEnd=2)
    return _spec(
        chart.encode(
            x=alt.X("tenth:O", title="tenth of the labels, rarest first", axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("name:N", sort=list(columns)),
            y=alt.Y("value:Q", title=unit),
            color=_colour("name", list(columns), True),
            tooltip=[
                alt.Tooltip("name:N", title="figure"),
                alt.Tooltip("value:Q", title=unit, format=".2f"),
                alt.Tooltip("span:N", title="training documents"),
            ],
        )
    )


def reliability(found: Sequence[Bin]) -> Spec:
    """Which share of the predictions with such a score is right; on the diagonal scores are chances."""
    rows = [
        {"scored": one.scored / one.count, "right": one.right / one.count, "count": one.count}
        for one in found
    ]
    line = alt.Data(values=[{"scored": 0, "right": 0}, {"scored": 1, "right": 1}])
    diagonal = alt.Chart(line).mark_line(strokeDash=[4, 4], strokeWidth=1.2, color="var(--muted)")
    unit = alt.Scale(domain=[0, 1])
    encoded = {
        "x": alt.X("scored:Q", title="score", scale=unit, axis=alt.Axis(format=".0%")),
        "y": alt.Y("right:Q", title="right", scale=unit, axis=alt.Axis(format=".0%")),
    }
    points = alt.Chart(alt.Data(values=rows)).mark_line(
        point=alt.OverlayMarkDef(size=55, filled=True, color=COLOURS[0]), color=COLOURS[0], strokeWidth=2
    )
    points = points.encode(
        tooltip=[
            alt.Tooltip("scored:Q", title="mean score", format=".1%"),
            alt.Tooltip("right:Q", title="right", format=".1%"),
            alt.Tooltip("count:Q", title="predictions", format=","),
        ]
    )
    return _spec(alt.layer(diagonal.encode(**encoded), points.encode(**encoded)))


def forest(rows: Sequence[Mapping[str, Any]], title: str) -> Spec:
    """Differences with their intervals, a `name`, `difference`, `low` and `high` a row; 0 is marked."""
    told = [
        {**row, "is": "away from 0" if row["low"] > 0 or row["high"] < 0 else "not told from 0"}
        for row in rows
    ]
    names = [row["name"] for row in rows]
    base = alt.Chart(alt.Data(values=told)).encode(
        y=alt.Y("name:N", sort=names, axis=None),
        color=alt.Color(
            "is:N",
            scale=alt.Scale(domain=["away from 0", "not told from 0"], range=[COLOURS[0], "var(--muted)"]),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("name:N", title="set"),
            *(alt.Tooltip(f"{key}:Q", format="+.2f") for key in ("difference", "low", "high")),
        ],
    )
    zero = alt.Chart(alt.Data(values=[{"zero": 0}])).mark_rule(strokeDash=[4, 4], color="var(--muted)")
    # Names stand above their lines, so that long ones leave room for these on a narrow screen; what goes
    # beyond is cut, as Vega would else make the picture narrower by it.
    name = base.encode(x=alt.value(0), text="name:N", color=alt.value("var(--text)"))
    letters: Spec = {"align": "left", "dy": -14, "fontSize": 12, "limit": alt.ExprRef("width")}
    halo = name.mark_text(**letters, stroke="var(--card)", strokeWidth=4)
    chart = alt.layer(
        zero.encode(x="zero:Q"),
        base.mark_rule(strokeWidth=2.5).encode(x=alt.X("low:Q", title=title), x2="high:Q"),
        base.mark_point(filled=True, size=80, opacity=1).encode(x="difference:Q"),
        halo,
        name.mark_text(**letters),
    )
    return _spec(chart, height=44 * len(names))


def forests(found: Comparison) -> dict[str, Spec]:
    """By metric, how far each set is from the one that they are compared with."""
    return {
        metric: forest(
            [
                {"name": row.name, "difference": figure.difference, "low": figure.low, "high": figure.high}
                for row in found.rows[1:]
                for figure in (row.metrics[metric],)
            ],
            "points",
        )
        for metric in SHOWN
    }


def costs(found: Sequence[Measured]) -> Spec:
    """Figures against seconds, xmlkit's and peers'; a line is the best that so many seconds have bought."""
    hidden = far_below(found)
    rows: list[dict[str, Any]] = [
        {"name": one.name, "whose": WHOSE[one.is_ours], "seconds": one.seconds, "metric": metric}
        | {"value": one.figures[metric]}
        for one in found
        for metric in DRAWN
        if one.name not in hidden
    ]
    part_names(rows)
    axis = alt.Axis(values=list(SPANS), labelExpr=f"{json.dumps(SPANS)}[datum.value]")
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "seconds:Q", title="time to train", axis=axis, scale=alt.Scale(type="log", domain=_decades(rows))
        ),
        color=_colour("whose", list(WHOSE.values()), True),
        detail="metric:N",
    )
    value = alt.Y("value:Q", title="%", scale=alt.Scale(zero=False, nice=True, padding=12))
    best = base.transform_window(
        best="max(value)", frame=[None, 0], groupby=["whose", "metric"], sort=[alt.SortField("seconds")]
    )
    kinds = alt.Legend(
        orient="top", title=None, symbolFillColor="var(--muted)", symbolStrokeColor="var(--muted)"
    )
    points = base.encode(
        y=value,
        shape=alt.Shape("metric:N", sort=list(DRAWN), legend=kinds),
        tooltip=[
            alt.Tooltip("name:N", title="model"),
            alt.Tooltip("metric:N", title="figure"),
            alt.Tooltip("value:Q", title="%", format=".2f"),
            alt.Tooltip("seconds:Q", format=",.0f"),
        ],
    )
    names = [
        base.encode(y=value, text="name:N")
        .transform_filter(alt.datum.is_below == is_below)
        .mark_text(align="left", dx=-4, dy=15 if is_below else -10, fontSize=11)
        for is_below in sorted({row["is_below"] for row in rows})  # of an empty layer Vega would warn
    ]
    chart = alt.layer(
        best.mark_line(interpolate="step-after", opacity=0.4).encode(y="best:Q"),
        points.mark_point(filled=True, size=70, opacity=1),
        *names,
    )
    return _spec(chart, height=2 * HEIGHT)


def far_below(found: Sequence[Measured]) -> list[str]:
    """Who has less than a third of the best in all that is drawn, and so stands in the table alone."""
    best = {metric: max(one.figures[metric] for one in found) for metric in DRAWN}
    return [
        one.name for one in found if all(one.figures[metric] < FAR_BELOW * best[metric] for metric in DRAWN)
    ]


def over_labels(found: Sequence[Step]) -> Spec:
    """What a step takes beside the encoder's own, against the number of labels."""
    rows = [{"name": one.name, "labels": one.labels, "ratio": one.ratio} for one in found]
    names = list(dict.fromkeys(one.name for one in found))
    counts = sorted({one.labels for one in found})
    axis = alt.Axis(values=counts, format="~s")
    chart = alt.Chart(alt.Data(values=rows)).mark_line(point=alt.OverlayMarkDef(size=55, filled=True))
    return _spec(
        chart.encode(
            x=alt.X("labels:Q", title="labels", axis=axis, scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("ratio:Q", title="times the encoder's step", scale=alt.Scale(zero=False, nice=True)),
            color=_colour("name", names, True),
            tooltip=[
                alt.Tooltip("name:N", title="step"),
                alt.Tooltip("labels:Q", format=","),
                alt.Tooltip("ratio:Q", title="times the encoder's step", format=".2f"),
            ],
        )
    )


def part_names(rows: list[dict[str, Any]]) -> None:
    """A name stands below its point where above it would meet one of those to the left, and below none."""
    values = [row["value"] for row in rows]
    unit = (max(values) - min(values)) or 1.0
    left, right = _decades(rows)
    a_letter = (right / left) ** A_LETTER
    placed: list[tuple[float, float]] = []

    def meets(seconds: float, height: float) -> bool:
        return any(seconds < right and abs(height - other) < NEAR * unit for right, other in placed)

    for row in sorted(rows, key=lambda row: row["seconds"]):
        seconds, (above, below) = row["seconds"], (row["value"] + side * unit for side in (ABOVE, BELOW))
        row["is_below"] = meets(seconds, above) and not meets(seconds, below)
        placed.append((seconds * a_letter ** len(row["name"]), below if row["is_below"] else above))


def _decades(rows: Sequence[Mapping[str, Any]]) -> list[float]:
    """Room for names on the right."""
    seconds = [row["seconds"] for row in rows]
    return [min(seconds) / 1.5, max(seconds) * 4]


def span_of(tenth: Tenth) -> str:
    """The training documents of its labels."""
    low, high = tenth.of.fewest, tenth.of.most
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _colour(field: str, names: Sequence[str], is_told: bool) -> alt.Color:
    letters = max(map(len, names)) + 4
    columns = 0 if letters * len(names) <= LEGEND else max(1, LEGEND // letters)
    legend = alt.Legend(orient="top", title=None, columns=columns, labelLimit=280, symbolOpacity=1)
    scale = alt.Scale(domain=list(names), range=[COLOURS[at % len(COLOURS)] for at in range(len(names))])
    return alt.Color(f"{field}:N", scale=scale, legend=legend if is_told else None)


def _dashes(field: str, names: Sequence[str]) -> alt.StrokeDash | UndefinedType:
    """Where there are more lines than colours."""
    if len(names) <= len(COLOURS):
        return alt.Undefined
    dashes = [DASHES[at // len(COLOURS) % len(DASHES)] for at in range(len(names))]
    scale = alt.Scale(domain=list(names), range=dashes)
    return alt.StrokeDash(f"{field}:N", scale=scale, legend=None)


def _spec(chart: alt.Chart | alt.LayerChart | alt.FacetChart, height: int = HEIGHT) -> Spec:
    """As wide as its place in the page."""
    made: Spec = chart.properties(width="container", height=height).to_dict()
    del made["$schema"], made["config"]  # the page has one for all
    return made
