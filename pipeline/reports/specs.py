"""The common ground of all charts: their size, their type, their colours, and rules across them."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.reports.words import clean

Spec = dict[str, Any]

ACCENT, SECOND, BAD, INK, MUTED, LINE = (
    "var(--accent)",
    "var(--second)",
    "var(--bad)",
    "var(--ink)",
    "var(--muted)",
    "var(--line)",
)
"""Colours are the page's own, so that a chart suits either scheme."""

_AXIS = {
    "domain": False,
    "ticks": False,
    "labelColor": MUTED,
    "labelFontSize": 11,
    "labelPadding": 6,
    "gridColor": LINE,
    "titleColor": MUTED,
    "titleFontSize": 11,
    "titleFontWeight": "normal",
    "titlePadding": 8,
}


def chart(width: int, height: int, layers: Sequence[Spec], **more: Any) -> Spec:
    """Return the specification of a chart of *layers*, *width* by *height* in all."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width,
        "height": height,
        "autosize": {"type": "fit", "contains": "padding"},
        "padding": {"left": 2, "right": 8, "top": 8, "bottom": 2},
        "background": None,
        "layer": list(layers),
        "config": {"view": {"stroke": None}, "axis": _AXIS, "font": "Helvetica, Arial, sans-serif"},
        **more,
    }


def values(rows: Sequence[Mapping[str, Any]]) -> Spec:
    """Return the data of a layer."""
    return {"values": list(rows)}


PLAIN = "datum.value && abs(datum.value) < 1 ? format(datum.value, '~r') : format(datum.value, '~s')"
"""How a label of an axis is written: 0.02, 15, 3k; given as an expression, since an axis turns 0 into 0M otherwise."""

PERCENT = "format(datum.value, '.0%')"
DOLLARS = "format(datum.value, '$,.4~f')"


def layer(rows: Sequence[Mapping[str, Any]], mark: Spec, **channels: Any) -> Spec:
    """Return a layer of a chart: *rows* drawn as *mark*, by their *channels*."""
    return {"data": values(rows), "mark": mark, "encoding": channels}


def bars(rows: Sequence[Mapping[str, Any]], x: Spec) -> Spec:
    """Return the layer of a histogram, whose bars go along *x* until `to` and up to `y`."""
    mark = {"type": "bar", "color": ACCENT, "fillOpacity": 0.8}
    top = 1.25 * max(row["y"] for row in rows)  # above the bars is room for the words of rules
    return layer(rows, mark, x=x, x2={"field": "to"}, y=quantity("y", most=top), y2={"datum": 0})


def quantity(field: str, *, most: float | None = None, least: float | None = 0, **axis: Any) -> Spec:
    """Return the channel of a number, on an axis with few lines."""
    scale: Spec = {"nice": True, "zero": least == 0}
    if most is not None:
        scale = {"domain": [least, most], "nice": False}
    return {
        "field": field,
        "type": "quantitative",
        "scale": scale,
        "axis": {"title": None, "tickCount": 4, "labelExpr": PLAIN, **axis},
    }


def rule(at: float, text: str, *, axis: str = "y", line: int = 0) -> list[Spec]:
    """Return the layers of a dashed line across a chart at the value *at*, and its *text*, on that *line* of several."""
    rows = [{"at": at, "text": clean(text)}]
    place = {"field": "at", "type": "quantitative"}
    text_at: Spec = {"x": 4, "dy": -6} if axis == "y" else {"y": 6 + 14 * line, "dx": 5}
    words = {"type": "text", "align": "left", "color": MUTED, "fontSize": 11, **text_at}
    return [
        layer(rows, {"type": "rule", "color": MUTED, "strokeDash": [4, 3]}, **{axis: place}),
        layer(rows, words, **{axis: place}, text={"field": "text"}),
    ]
