"""Charts of how a run went: its pace, what was in flight, tokens and money over time, and how long replies took."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.figures import DAY, HOUR, MINUTE, number, usd
from pipeline.reports.specs import ACCENT, BAD, DOLLARS, PLAIN, Spec, bars, chart, layer, quantity, rule

HEIGHT = 170

MOST_STEPS = 80

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of a section.

    Attributes:
        title: Its title.
        note: What it shows, in a sentence; also for who cannot see it.
        spec: Its specification for a width.
    """

    title: str
    note: str
    spec: Callable[[int], Spec]


class Course:
    """The samples of a run in steps of equal length."""

    def __init__(self, series: Mapping[str, Sequence[float | None]]) -> None:
        self._at = [float(each or 0) for each in series.get("seconds", ())]
        self._series = series
        self.seconds = self._at[-1] if self._at else 0.0
        steps = max(1, min(MOST_STEPS, len(self._at) - 1))
        self._step = self.seconds / steps
        self._edges = [number * self._step for number in range(steps + 1)]
        self.unit, self.unit_seconds = next(
            (name, size)
            for name, size, least in (
                ("days", DAY, 2 * DAY),
                ("hours", HOUR, 2 * HOUR),
                ("minutes", MINUTE, 2 * MINUTE),
                ("seconds", 1, 0),
            )
            if self.seconds >= least
        )

    def total(self, name: str) -> list[Spec]:
        """Return the value of a sum at each edge of a step."""
        found = [self._value(name, edge) for edge in self._edges]
        return [
            {"x": edge / self.unit_seconds, "y": value}
            for edge, value in zip(self._edges, found, strict=True)
            if value is not None
        ]

    def rate(self, name: str, per: float = 1.0) -> list[Spec]:
        """Return how much a sum grew within each step, *per* so many seconds."""
        totals = [each["y"] for each in self.total(name)]
        if len(totals) < len(self._edges) or not self._step:
            return []
        rates = [per * max(0, totals[n + 1] - totals[n]) / self._step for n in range(len(totals) - 1)]
        return [
            {"x": edge / self.unit_seconds, "y": rate}
            for edge, rate in zip(self._edges, [*rates, rates[-1]], strict=True)
        ]

    def highest(self, name: str) -> list[Spec]:
        """Return the highest sample within each step."""
        found = []
        for edge in self._edges[:-1]:
            first, last = bisect_right(self._at, edge) - 1, bisect_right(self._at, edge + self._step)
            found.append(max(each or 0 for each in self._series[name][max(0, first) : last]))
        return [
            {"x": edge / self.unit_seconds, "y": value}
            for edge, value in zip(self._edges, [*found, found[-1]], strict=True)
        ]

    def _value(self, name: str, at: float) -> float | None:
        column = self._series.get(name) or []
        after = min(bisect_right(self._at, at), len(self._at) - 1)
        before = max(0, after - 1)
        low, high = column[before], column[after]
        if low is None or high is None:
            return high if low is None else low
        span = self._at[after] - self._at[before]
        share = min(1.0, (at - self._at[before]) / span) if span else 1.0
        return low + share * (high - low)


def course_charts(facts: Facts) -> Iterator[Chart]:
    """Yield the charts of a run over time."""
    course, limits = Course(facts.get("series", {})), facts["job"]["limits"]
    if course.seconds <= 0:
        return
    yield _over_time(
        course, "Rows per second", course.rate("done"), note="How many rows were done in a second."
    )
    requests = course.total("requests")
    if not requests or not requests[-1]["y"]:
        return
    yield _over_time(
        course, "Requests per minute", course.rate("requests", MINUTE),
        refused=course.rate("throttled", MINUTE), limit=limits["requests_per_minute"], limit_text="limit {}",
        note="Requests sent; in red those that were refused for a rate limit (429).",
    )  # fmt: skip
    yield _over_time(
        course, "Requests in flight", course.highest("in_flight"), stepped=True,
        limit=limits["max_concurrency"], limit_text="at most {}",
        note="The most requests that were under way at once.",
    )  # fmt: skip
    yield _over_time(
        course, "Tokens per minute", course.rate("tokens", MINUTE),
        limit=limits["tokens_per_minute"], limit_text="limit {}", note="Tokens that were billed, read and written.",
    )  # fmt: skip
    costs = course.total("cost_usd")
    if costs and costs[-1]["y"]:
        yield _over_time(
            course, "US dollars so far", costs, limit=limits["max_cost_usd"], limit_text="budget {}", say=usd,
            note="What the run had cost by then.",
        )  # fmt: skip
    failed = course.total("failed")
    if failed and failed[-1]["y"]:
        yield _over_time(
            course, "Failed rows so far", failed, color=BAD, note="Rows that ended without a label."
        )


def _over_time(  # noqa: PLR0913 - what differs from chart to chart
    course: Course,
    title: str,
    rows: Sequence[Spec],
    *,
    note: str,
    refused: Sequence[Spec] = (),
    limit: float | None = None,
    limit_text: str = "{}",
    say: Callable[[float], str] = number,
    color: str = ACCENT,
    stepped: bool = False,
) -> Chart:
    top = max((row["y"] for row in rows), default=0.0)
    in_reach = limit is not None and limit <= 2.5 * top
    if limit is not None:
        note = f"{note} {limit_text.format(say(limit)).capitalize()}{'' if in_reach else ', far above'}."
    curve = "step-after" if stepped else "monotone"
    most = course.seconds / course.unit_seconds
    x = quantity("x", most=most, title=course.unit, grid=False, tickCount=5)

    def spec(width: int) -> Spec:
        y = quantity("y", labelExpr=DOLLARS if say is usd else PLAIN)
        shape = {"interpolate": curve, "color": color}
        layers = [
            layer(rows, {"type": "area", "fillOpacity": 0.14, "strokeOpacity": 0, **shape}, x=x, y=y),
            layer(rows, {"type": "line", "strokeWidth": 1.6, **shape}, x=x, y=y),
        ]
        if any(row["y"] for row in refused):
            mark = {"type": "area", "interpolate": curve, "color": BAD, "fillOpacity": 0.55}
            layers.append(layer(refused, mark, x=x, y=y))
        if limit is not None and in_reach:
            layers += rule(limit, limit_text.format(say(limit)))
        return chart(width, HEIGHT, layers)

    return Chart(title, note, spec)


def latency_chart(facts: Facts) -> Chart | None:
    """Return the chart of how long replies took; None if there was none."""
    latency = facts.get("latency", {})
    counts = latency.get("counts", [])
    if not counts:
        return None
    half = 2 ** (1 / 16)
    rows = [{"from": seconds / half, "to": seconds * half, "y": replies} for seconds, replies in counts]
    shown = [("half of them", "p50"), ("95 %", "p95")]
    note = "From sending a request to the end of its reply; each bar is 9 % wider than the one before."

    def spec(width: int) -> Spec:
        scale = {"type": "log", "nice": False}
        x: Spec = {
            "field": "from",
            "type": "quantitative",
            "scale": scale,
            "axis": {
                "title": None,
                "grid": False,
                "values": _ticks(rows[0]["from"], rows[-1]["to"]),
                "labelExpr": "datum.value < 1 ? format(datum.value * 1000, '~r') + ' ms' : format(datum.value, '~r') + ' s'",
                "labelOverlap": True,
            },
        }
        layers = [bars(rows, x)]
        for line, (text, name) in enumerate(shown):
            if name in latency:
                layers += rule(latency[name], text, axis="x", line=line)
        return chart(width, HEIGHT, layers)

    return Chart("How long replies took", note, spec)


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers between *low* and *high*, as a scale of powers has them."""
    steps = (1, 2, 5) if high < 200 * low else (1,)
    return [
        step * 10.0**power for power in range(-6, 5) for step in steps if low <= step * 10.0**power <= high
    ]
