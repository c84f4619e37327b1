"""The history of an output: what each published run came to, for the comparison of a night with those before it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from pipeline.job.workspace import Workspace
from pipeline.records import LABELLED
from pipeline.system.atomic import sweep, write

KEPT = 30
"""Published runs that are remembered of each output."""

MOST_LABELS = 1_000
"""Labels whose shares are remembered of each run, those with the largest: as many as a task may have."""


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """What a published run came to.

    Attributes:
        run_id: Its id.
        published_at: Unix time.
        task: Fingerprint of its task and model, in hexadecimal digits.
        model: The model's name.
        selection: Name of the selection of rows that it labelled; None for all rows.
        rows: Rows of the output.
        statuses: Number of rows by status.
        labels: Share of the rows with labels that have each of the most frequent labels, 0 to 1.
        mean_confidence: None where the model tells no probabilities.
        cost_usd: What it was billed; None if no price is known.
        latency_p50: Seconds within which half of the replies came; None if there was none.
        latency_p95: The same for 95 in a hundred.
        requests: HTTP requests to the model.
        reused: Rows whose answer was paid for by an earlier run.
        seconds: Duration of all its executions together.
    """

    run_id: str
    published_at: float
    task: str
    model: str
    selection: str | None
    rows: int
    statuses: Mapping[str, int]
    labels: Mapping[str, float]
    mean_confidence: float | None
    cost_usd: float | None
    latency_p50: float | None
    latency_p95: float | None
    requests: int
    reused: int
    seconds: float

    @property
    def label_counts(self) -> Mapping[str, int]:
        """How many rows have each label."""
        labelled = sum(self.statuses.get(status, 0) for status in LABELLED)
        return {name: round(share * labelled) for name, share in self.labels.items()}


_NAMES = {field.name for field in fields(PublishedRun)}


def history_file(folder: Path) -> Path:
    """Return where the history lies in the *folder* of a workspace."""
    return folder / "history.json"


def load_history(
    workspace: Workspace, task: str | None = None, selection: str | None = None
) -> list[PublishedRun]:
    """Return the published runs of an output, the latest last.

    With *task*, those of this task and *selection* into other outputs of the state directory, too: a nightly job may name its
    output after the date.
    """
    found = {run.run_id: run for run in _read(history_file(workspace.folder))}
    if task is not None:
        for path in workspace.folder.parent.glob("*/" + history_file(Path()).name):
            for run in _read(path):
                if (run.task, run.selection) == (task, selection):
                    found.setdefault(run.run_id, run)
    return sorted(found.values(), key=lambda run: (run.published_at, run.run_id))[-KEPT:]


def latest_latency(workspace: Workspace, task: str) -> float | None:
    """Return within which seconds half of the replies came in the latest run of *task* that tells it, whatever rows it had."""
    found = [
        run
        for path in workspace.folder.parent.glob("*/" + history_file(Path()).name)
        for run in _read(path)
        if run.task == task and run.latency_p50
    ]
    return max(found, key=lambda run: run.published_at).latency_p50 if found else None


def append(workspace: Workspace, run: PublishedRun) -> None:
    """Add *run* to the history of its output, once however often it is added.

    Raises:
        OSError: If it cannot be written.
    """
    path = history_file(workspace.folder)
    sweep(path)
    others = [other for other in _read(path) if other.run_id != run.run_id]
    write(path, orjson.dumps([*others, run][-KEPT:], option=orjson.OPT_INDENT_2))


def shares(counts: Mapping[str, int], rows: int) -> dict[str, float]:
    """Return the share of *rows* that has each label, of the most frequent ones, given the *counts* by label."""
    largest = sorted(counts.items(), key=lambda item: -item[1])[:MOST_LABELS]
    return {name: round(count / rows, 6) for name, count in largest} if rows else {}


def _read(path: Path) -> Iterator[PublishedRun]:
    """Yield the runs in the file at *path*; what cannot be read is no history."""
    try:
        found: list[dict[str, Any]] = orjson.loads(path.read_bytes())
        runs = [
            PublishedRun(**{name: value for name, value in each.items() if name in _NAMES}) for each in found
        ]
        _ = [run.label_counts for run in runs]  # what is no count there is no history
    except (OSError, ValueError, TypeError, AttributeError):
        return
    yield from runs
