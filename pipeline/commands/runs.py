"""The runs below a state directory: those of other outputs, of parts of the rows, and of other providers, too."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.config.slices import slices_below
from pipeline.job.kept.snapshot import load_snapshot
from pipeline.job.workspace import PUBLISHED, RUNNING, RunRecord, Workspace
from pipeline.outputs.parts import span_of
from pipeline.system.places import place_of

INTERRUPTED = "interrupted"
"""Status of a run that is neither published nor running; the same command continues it."""


PARTIAL = "partial"
"""Status of what is published of a run that is not finished."""


class Run(NamedTuple):
    """The latest run of an output.

    Attributes:
        place: Its workspace.
        record: Its record.
        state: The state directory in which it is, with the ledger of its answers.
    """

    place: Workspace
    record: RunRecord
    state: Path


def runs_below(state: Path) -> list[Run]:
    """Return the latest run of each output in the state directory *state*, in its slices and its rehearsals; newest first."""
    found = []
    for each in (state, *slices_below(state).values(), state / "simulated"):
        for folder in sorted(each.glob("runs/*")):
            place = Workspace(folder, folder)
            record = place.load()
            if record is not None:
                output = place_of(record.job.get("output") or str(folder))
                found.append(Run(Workspace(folder, output), record, each))
    return sorted(found, key=lambda run: -run.record.started_at)


def status_of(record: RunRecord, holder: str | None) -> str:
    """Return the status of a run whose workspace the process *holder* holds."""
    if record.status == PUBLISHED and (record.summary or {}).get("pending"):
        return PARTIAL
    return INTERRUPTED if record.status == RUNNING and holder is None else record.status


def rows_in_parts(place: Workspace) -> int:
    """Return how many rows are in the parts of an unfinished run."""
    spans = (span_of(path.name) for path in place.parts.glob("*.arrow"))
    return sum(span.rows for span in spans if span)


def run_facts(run: Run) -> dict[str, Any]:
    """Return where *run* stands, as its own files tell; rate, time left and cost come from the process that runs it."""
    place, record = run.place, run.record
    holder, job = place.holder(), record.job
    is_open = record.status != PUBLISHED
    now = load_snapshot(place, record.run_id) if is_open else dict(record.summary or {})
    rows = now.get("rows", job.get("rows"))
    done = max(now.get("rows_done", 0), rows_in_parts(place)) if is_open else rows - now.get("pending", 0)
    on = is_open and holder is not None
    return {
        "run_id": record.run_id,
        "status": status_of(record, holder),
        "running_as": holder,
        "started": moment(record.started_at),
        "provider": job.get("provider"),
        "model": job.get("model"),
        "rows": rows,
        "rows_done": done,
        # Rounded down: all of them are done when they are.
        "percent": 1000 * done // rows / 10 if rows and done is not None else None,
        "failed": now.get("failed"),
        "rate": _rounded(now.get("rate")) if on else None,
        "seconds_left": _rounded(now.get("seconds_left")) if on else None,
        **({"shares": now["shares"]} if now.get("shares") else {}),
        **(_in_time(now) if on and now.get("finish_by") else {}),
        "waiting": bool(now.get("waiting")) if on else False,
        "cost_usd": now.get("cost_usd"),
        "output": str(place.output) if job else None,
        "folder": str(place.folder),
    }


def _in_time(now: Mapping[str, Any]) -> dict[str, Any]:
    """Return by when a run is to be done, and when it ends by its pace of late; None where it has none."""
    left = now.get("seconds_left")
    ends = None if left is None else now["at"] + left
    return {
        "finish_by": moment(now["finish_by"]),
        "ends": None if ends is None else moment(ends),
        "makes_it": None if ends is None else ends <= now["finish_by"],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def moment(seconds: float) -> str:
    """Return a Unix time as people and programs read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def all_facts(state: Path) -> Iterator[dict[str, Any]]:
    """Yield where each run below *state* stands, newest first."""
    return map(run_facts, runs_below(state))
