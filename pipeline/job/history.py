"""The history of a state directory: what each published run of the whole table found, for comparison with the next."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.job.job import Job
from pipeline.summary import RunResult
from pipeline.system.atomic import sweep, write

if TYPE_CHECKING:  # imports pyarrow.compute, for which a finished job must not wait
    from pipeline.outputs.tally import Tally

KEPT = 30
"""So many runs are kept: a month of nights."""


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """What a published run found.

    Attributes:
        run_id: Its id, which begins with the moment of its start.
        provider: Who was asked.
        model: The model's name, as configured.
        rows: Rows of the output.
        statuses: How many rows have each status.
        labels: How many rows have each label.
        requests: HTTP requests.
        cost_usd: US dollars; None if no price is known.
        seconds: How long it took.
        more: What else the report compares.
    """

    run_id: str
    provider: str
    model: str
    rows: int
    statuses: Mapping[str, int]
    labels: Mapping[str, int]
    requests: int
    cost_usd: float | None
    seconds: float
    more: Mapping[str, Any] = field(default_factory=dict)


def load_history(job: Job) -> list[PublishedRun]:
    """Return the last runs that have asked the provider of *job*, oldest first; none if the file is damaged."""
    return [run for run in _load(job) if run.provider == job.config.model.provider]


def append_history(
    job: Job, result: RunResult, tally: "Tally", more: Mapping[str, Any] | None = None
) -> None:
    """Add a run that has published the whole table.

    Raises:
        OSError: If the history cannot be written.
    """
    if not job.options.is_whole:
        return
    model = job.config.model
    run = PublishedRun(
        result.run_id, model.provider, model.name, result.rows, dict(tally.statuses), dict(tally.labels),
        result.requests, result.cost_usd, result.seconds, more or {},
    )  # fmt: skip
    runs = [each for each in _load(job) if each.run_id != run.run_id]
    sweep(_file(job))
    write(_file(job), orjson.dumps([asdict(each) for each in [*runs, run][-KEPT:]]))


def _load(job: Job) -> list[PublishedRun]:
    try:
        return [PublishedRun(**each) for each in orjson.loads(_file(job).read_bytes())]
    except (OSError, ValueError, TypeError):  # it only tells of the past
        return []


def _file(job: Job) -> Path:
    return job.config.state.dir / "history.json"
