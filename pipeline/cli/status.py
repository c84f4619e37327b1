"""`status`: print where the latest run stands, and all others below its state directory."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from pipeline import figures as write
from pipeline.cli.console import fact_lines, print_lines, print_result
from pipeline.cli.tables import table_lines, width
from pipeline.commands import status as command
from pipeline.config import Config
from pipeline.telemetry.pace import shares_text

HEADS = ("output", "asked", "status", "rows", "done", "failed", "cost", "rows/s", "left")

DROPPED = ("asked", "failed", "rows", "rows/s", "cost")
"""What is left out where there is no room, the first one first."""

LEAST_NAME = 12
"""Columns that the name of an output has."""


def status(config: Config) -> int:
    """Print where the latest run stands, and all runs below the state directory."""
    facts = command.status(config)
    runs = facts["runs"]
    print_lines(fact_lines({name: value for name, value in facts.items() if name not in {"summary", "runs"}}))
    more = [*share_lines(runs), *due_lines(runs)]
    print_lines(["", f"runs in {config.state.dir}, newest first:", *run_lines(runs), *more])
    print_result(facts)
    return 0


def share_lines(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield which share of its requests each of several endpoints got, for each run that has them and is not over."""
    for run in runs:
        if said := shares_text(run.get("shares", {})):
            yield f"{(run['output'] or run['folder']).rsplit('/', 1)[-1]}: {said} of all requests"


def due_lines(runs: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield whether each run that is to be done by a time makes it, at the pace it has."""
    for run in runs:
        if by := run.get("finish_by"):
            name = (run["output"] or run["folder"]).rsplit("/", 1)[-1]
            ends = (
                ""
                if run["ends"] is None
                else f", {'in time' if run['makes_it'] else 'too late'}: {_clock(run['ends'])}"
            )
            yield f"{name}: due {_clock(by)}{ends}"


def _clock(moment: str) -> str:
    return write.moment(datetime.fromisoformat(moment).timestamp())


def run_lines(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table of *runs*: what no run has, and what a narrow terminal has no room for, is left out."""
    cells = [dict(zip(HEADS, _cells(run), strict=True)) for run in runs]
    kept = [head for head in HEADS if any(row[head] for row in cells)]
    for head in DROPPED:
        widths = [max(len(name), *(len(row[name]) for row in cells)) for name in kept if name != "output"]
        if sum(widths) + 2 * len(kept) + LEAST_NAME < width():
            break
        kept = [name for name in kept if name != head]
    right = [at for at, name in enumerate(kept) if HEADS.index(name) >= HEADS.index("rows")]
    return table_lines(kept, [[row[name] for name in kept] for row in cells], wide=0, right=right)


def _cells(run: Mapping[str, Any]) -> list[str]:
    rows, percent, cost, failed = (run[name] for name in ("rows", "percent", "cost_usd", "failed"))
    on = run["status"] == "running"
    return [
        (run["output"] or run["folder"]).rsplit("/", 1)[-1],
        run["provider"] or "",
        "endpoint away" if run["waiting"] else run["status"],
        "" if rows is None else f"{rows:,}",
        "" if percent is None else write.reached(percent / 100),
        "" if failed is None else f"{failed:,}",
        "" if cost is None else write.usd(cost),
        write.rate(run["rate"]) if on else "",
        write.clock(run["seconds_left"]) if on else "",
    ]
