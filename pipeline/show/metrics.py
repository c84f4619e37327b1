"""`--metrics-file`: what the node exporter of Prometheus reads from a text file, written when a run has ended."""

import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from pipeline.errors import CannotCreateError
from pipeline.records import Status
from pipeline.result import RunResult

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

END = "pipeline_run_end_timestamp_seconds"
STATUS = "pipeline_run_exit_status"
SUCCESS = "pipeline_last_success_timestamp_seconds"
COST = "pipeline_cost_usd"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; all are gauges about the job's latest execution or its latest finished one.

    Attributes:
        name: Its name, with its unit.
        about: Its help text.
        label: Name of the label that tells its values apart; None if it has one value.
    """

    name: str
    about: str
    label: str | None = None


METRICS = (
    Metric(END, "When the latest execution ended, however it did."),
    Metric(STATUS, "Exit status of the latest execution: 0 is success, 75 continues when run again."),
    Metric(SUCCESS, "When a run last ended with exit status 0."),
    Metric("pipeline_rows", "Rows of the last published output by label_status.", "status"),
    Metric("pipeline_rows_reused", "Rows of it whose answer an earlier run had paid for."),
    Metric("pipeline_rows_duplicate", "Rows of it that repeat an earlier row's prompt."),
    Metric("pipeline_requests", "HTTP calls to the model of the last published run."),
    Metric("pipeline_retries", "Those among them that had to be repeated."),
    Metric("pipeline_throttled", "Those among them that were refused because of a rate limit (429)."),
    Metric("pipeline_tokens", "Tokens that the last published run was billed.", "kind"),
    Metric(COST, "US dollars that it was billed; absent where no price is known."),
    Metric("pipeline_run_seconds", "How long its executions took together."),
)

Values: TypeAlias = dict[tuple[str, str], float]  # by a metric's name and the value of its label, "" for none


def ensured(path: Path) -> Path:
    """Return *path* if it can be written, so that nobody learns after a night that it cannot.

    Raises:
        CannotCreateError: If it cannot.
    """
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise CannotCreateError(
            f"--metrics-file: {path}: cannot be written; name a file in a folder that can"
        )
    return path


def write_metrics(path: Path, job: str, exit_status: int, result: RunResult | None = None) -> None:
    """Write the metrics of *job* to *path*, whole or not at all; a failure is only warned of.

    Args:
        path: The file; its name has to end in .prom for the node exporter.
        job: The job's name, the label `job` of each metric.
        exit_status: How the execution ended.
        result: What it published; without one, what is known of the last published run stays.
    """
    now = time.time()
    values = {**_earlier(path, job), (END, ""): now, (STATUS, ""): exit_status}
    if result is not None:
        values.pop((COST, ""), None)
        values |= _published(result)
    if exit_status == 0:
        values[SUCCESS, ""] = now
    from prometheus_client import write_to_textfile  # noqa: PLC0415 - 0.1 s for which no other run waits

    try:
        write_to_textfile(str(path), _registry(job, values))
    except OSError as error:
        log.warning("--metrics-file: %s: could not be written: %s", path, error)


def _published(result: RunResult) -> Values:
    rows = orjson.loads(Path(result.report).read_bytes())["statuses"]
    single = {
        "pipeline_rows_reused": result.reused,
        "pipeline_rows_duplicate": result.duplicates,
        "pipeline_requests": result.requests,
        "pipeline_retries": result.retries,
        "pipeline_throttled": result.throttled,
        "pipeline_run_seconds": result.seconds,
    }
    tokens = {
        "prompt": result.prompt_tokens,
        "cached": result.cached_tokens,
        "completion": result.completion_tokens,
    }
    return {
        **{(name, ""): value for name, value in single.items()},
        **{("pipeline_rows", status): rows.get(status, 0) for status in Status},
        **{("pipeline_tokens", kind): value for kind, value in tokens.items()},
        **({} if result.cost_usd is None else {(COST, ""): result.cost_usd}),
    }


def _earlier(path: Path, job: str) -> Values:
    """Return what the file says so far; a file that is none of ours says nothing."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (OSError, ValueError):
        return {}
    labels = {metric.name: metric.label for metric in METRICS}
    return {
        (sample.name, sample.labels.get(labels[sample.name] or "", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.name in labels and sample.labels.get("job") == job
    }


def _registry(job: str, values: Values) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

    registry = CollectorRegistry()
    for metric in METRICS:
        names = ["job", metric.label] if metric.label else ["job"]
        gauge = Gauge(metric.name, metric.about, names, registry=registry)
        for (name, label), value in values.items():
            if name == metric.name:
                gauge.labels(*([job, label] if metric.label else [job])).set(value)
    return registry
