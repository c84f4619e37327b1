"""The page of a run's report: one file of HTML that asks for nothing else."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from pipeline import figures
from pipeline.reports.charts import confidence_chart, confusion_chart, history_charts, reliability_chart
from pipeline.reports.courses import Chart, course_charts, latency_chart
from pipeline.reports.drawing import draw
from pipeline.reports.tables import label_rows, per_label, run_rows, segments, student_nights, tiles
from pipeline.reports.verdict import verdict
from pipeline.reports.words import clean

if TYPE_CHECKING:
    from jinja2 import Environment

WIDE, NARROW = 520, 320
"""Widths for which each chart is drawn: half of a screen, and all of a telephone's."""

MEASURED = (
    "rows", "coverage", "accuracy", "accuracy_low", "accuracy_high", "macro_f1", "kappa", "ece", "ece_floor",
    "cost_per_1000_right_usd", "shares", "mistakes",
)  # fmt: skip
"""What the page shows of an evaluation."""

Facts = Mapping[str, Any]


def page(facts: Facts) -> bytes:
    """Return the page that shows *facts*, those of `report.json`."""
    evaluation = facts.get("evaluation") or {}
    if evaluation:  # what one kind of task has, another may lack
        evaluation = {**dict.fromkeys(MEASURED), **evaluation}
        facts = {**facts, "evaluation": evaluation}
    shown = {
        "facts": {"suspects": None, "packs": None, **facts},
        "verdict": verdict(facts),
        "tiles": tiles(facts),
        "segments": segments(facts),
        "labels": label_rows(facts),
        "per_label": per_label(evaluation),
        "student": student_nights(facts),
        "carried": list(facts.get("carried_nights") or ())[::-1],
        "runs": run_rows(facts["history"]),
        "confidence": _drawn([confidence_chart(facts)]),
        "course": _drawn(course_charts(facts)),
        "latency": _drawn([latency_chart(facts)]),
        "evaluation": _drawn([confusion_chart(evaluation), reliability_chart(evaluation)]),
        "history": _drawn(history_charts(facts["history"])),
        "style": files("pipeline.reports").joinpath("style.css").read_text(encoding="utf-8"),
    }
    html: str = _environment().get_template("page.html.j2").render(shown)
    return html.encode()


@cache
def _environment() -> "Environment":
    from jinja2 import BaseLoader, Environment, StrictUndefined  # noqa: PLC0415 - for a report only

    class Package(BaseLoader):
        """Finds templates beside this module."""

        def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:  # noqa: ARG002 - the loader's interface
            return files("pipeline.reports").joinpath(template).read_text(encoding="utf-8"), None, None

    environment = Environment(
        loader=Package(), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    names = ("number", "percent", "points", "usd", "duration", "moment", "count")
    environment.filters.update({name: getattr(figures, name) for name in names}, clean=clean)
    return environment


def _drawn(charts: Iterable[Chart | None]) -> list[dict[str, Any]]:
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    return [
        {
            "title": chart.title,
            "note": chart.note,
            # Drawn by us, element by element, with every text escaped.
            "wide": Markup(draw(chart.spec(WIDE), f"{chart.title}: {chart.note}")),  # noqa: S704
            "narrow": Markup(draw(chart.spec(NARROW), f"{chart.title}: {chart.note}")),  # noqa: S704
        }
        for chart in charts
        if chart is not None
    ]
