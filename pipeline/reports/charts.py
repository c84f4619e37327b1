"""Charts of what came out: how sure the labels are, whether they are right, and how runs compare."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.figures import number, percent
from pipeline.reports.courses import Chart
from pipeline.reports.specs import ACCENT, INK, MUTED, PERCENT, Spec, bars, chart, layer, quantity, rule
from pipeline.reports.words import clean

HEIGHT = 190

CLASSES = 15
"""Labels that a confusion matrix shows; the others are one."""

OTHERS = "others"

NAME = 18

PHONE = 400
"""Charts that are no wider are for a telephone."""

COLORS = [f"var(--c{number_of})" for number_of in range(1, 7)]

Facts = Mapping[str, Any]


def confidence_chart(facts: Facts) -> Chart | None:
    """Return the histogram of confidences; None if the model told none."""
    found = facts.get("confidence", {})
    counts = found.get("bins", [])
    if not sum(counts):
        return None
    width = 1 / len(counts)
    rows = [
        {"from": at * width + 0.004, "to": (at + 1) * width - 0.004, "y": count}
        for at, count in enumerate(counts)
    ]
    below = facts["job"]["unsure_below"]
    sure = sum(counts[-2:]) / sum(counts)

    def spec(size: int) -> Spec:
        x = quantity("from", most=1, grid=False, tickCount=5)
        layers = [bars(rows, x)]
        if below:
            layers += rule(below, "unsure below", axis="x")
        return chart(size, HEIGHT, layers)

    note = f"The mean is {found['mean']:.2f}; {percent(sure)} of the rows have 0.9 or more."
    return Chart("Confidence of the labels", note, spec)


def reliability_chart(evaluation: Facts) -> Chart | None:
    """Return the reliability diagram; None if nothing is known."""
    found = [each for each in evaluation.get("reliability") or [] if each.get("rows")]
    if not found:
        return None
    diagonal = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]

    def spec(size: int) -> Spec:
        x = quantity("confidence", most=1, title="confidence", grid=False)
        y = quantity("right", most=1, title="share that is right", labelExpr=PERCENT)
        y["scale"]["clamp"] = True
        dashed = {"type": "line", "color": MUTED, "strokeDash": [4, 3], "strokeWidth": 1}
        interval = {"type": "rule", "color": ACCENT, "strokeOpacity": 0.45, "strokeWidth": 2}
        point = {"type": "point", "filled": True, "color": ACCENT, "size": 60, "opacity": 1}
        layers = [
            layer(diagonal, dashed, x={**x, "field": "x"}, y={**y, "field": "y"}),
            layer(found, interval, x=x, y={**y, "field": "low"}, y2={"field": "high"}),
            layer(found, point, x=x, y=y),
        ]
        return chart(size, 260, layers)

    note = (
        "On the diagonal a label with a confidence of 0.8 is right in 80 % of cases; bars are 95 % intervals."
    )
    return Chart("Is the confidence honest?", note, spec)


def confusion_chart(evaluation: Facts) -> Chart | None:
    """Return the confusion matrix as a heat map; None if nothing is known."""
    found = evaluation.get("confusion") or {}
    names, cells = _gathered(found.get("labels", []), found.get("counts", []))
    if not names:
        return None

    def spec(size: int) -> Spec:
        axis = {"title": "label by the model", "labelAngle": -40, "labelLimit": 110, "orient": "bottom"}
        x = {"field": "predicted", "type": "nominal", "sort": None, "axis": axis}
        y = {
            "field": "gold",
            "type": "nominal",
            "sort": None,
            "axis": {"title": "right label", "labelLimit": 110},
        }
        scale = {"domain": [0, 1], "range": [0.04, 0.9]}
        fill = {"field": "share", "type": "quantitative", "scale": scale, "legend": None}
        color = {"condition": {"test": "datum.share > 0.5", "value": "var(--on-accent)"}, "value": INK}
        tile = {"type": "rect", "color": ACCENT, "stroke": "var(--card)", "strokeWidth": 1.5}
        digits = {"type": "text", "fontSize": 11 if len(names) < CLASSES // 2 or size > PHONE else 8}
        layers = [
            layer(cells, tile, x=x, y=y, fillOpacity=fill),
            layer(
                [cell for cell in cells if cell["rows"]],
                digits,
                x=x,
                y=y,
                text={"field": "text"},
                color=color,
            ),
        ]
        return chart(size, max(220, min(26 * len(names) + 110, size)), layers)

    note = "Rows: the right label; columns: the model's. The stronger the colour, the larger the share of the row; the diagonal is right."
    return Chart("Which labels are confused", note, spec)


def distinct(labels: Sequence[str]) -> list[str]:
    """Return short names of *labels*, with a number before those that would be alike."""
    short = [clean(label, NAME) for label in labels]
    return [
        f"{at}. {name}" if short.count(name) > 1 or name == OTHERS else name
        for at, name in enumerate(short, 1)
    ]


def _gathered(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> tuple[list[str], list[Spec]]:
    """Return names and cells of a matrix with the most frequent labels, all others as one."""
    order = sorted(range(len(labels)), key=lambda at: -sum(counts[at]) if at < len(counts) else 0)
    kept, rest = sorted(order[:CLASSES]), order[CLASSES:]
    groups = [[at] for at in kept] + ([rest] if rest else [])
    names = distinct([labels[at] for at in kept]) + ([OTHERS] if rest else [])
    cells = []
    for name, rows in zip(names, groups, strict=True):
        total = sum(sum(counts[at]) for at in rows)
        for other, columns in zip(names, groups, strict=True):
            count = sum(
                counts[row][column] for row in rows for column in columns if column < len(counts[row])
            )
            share = count / total if total else 0
            cells.append(
                {"gold": name, "predicted": other, "rows": count, "text": number(count), "share": share}
            )
    return names, cells


def history_charts(history: Sequence[Facts]) -> Iterator[Chart]:
    """Yield the charts that compare runs, the latest last."""
    if len(history) < 2:  # noqa: PLR2004 - nothing to compare with
        return
    runs = [{**run, "run": number_of} for number_of, run in enumerate(history, 1 - len(history))]
    labels = list(history[-1]["labels"])[: len(COLORS)]
    rows = [
        {"run": run["run"], "name": name, "share": run["labels"].get(label, 0)}
        for run in runs
        for label, name in zip(labels, distinct(labels), strict=True)
    ]

    def spec(size: int) -> Spec:
        ends = [1 - len(history), 0]
        said = "datum.value ? -datum.value + ' runs ago' : 'this run'"
        axis = {"title": None, "grid": False, "values": ends, "labelExpr": said, "labelBound": True}
        scale = {"domain": ends, "nice": False}
        x = {"field": "run", "type": "quantitative", "scale": scale, "axis": axis}
        y = quantity("share", labelExpr=PERCENT)
        legend = {
            "title": None,
            "orient": "bottom",
            "columns": 3 if size > PHONE else 2,
            "labelColor": INK,
            "labelLimit": 130,
        }
        color = {
            "field": "name",
            "type": "nominal",
            "sort": None,
            "scale": {"range": COLORS},
            "legend": legend,
        }
        line = {"type": "line", "strokeWidth": 1.8}
        point = {"type": "point", "filled": True, "size": 24, "opacity": 1}
        return chart(size, HEIGHT + 40, [layer(rows, mark, x=x, y=y, color=color) for mark in (line, point)])

    yield Chart(
        "Shares of the largest labels", f"In the last {len(history)} runs, this one at the right.", spec
    )
