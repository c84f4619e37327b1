"""`--metrics-file`: what the node exporter of Prometheus reads from a text file, written when a run has ended."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import orjson

from pipeline.errors import CannotCreateError, LockedError, UsageError, as_pipeline_error
from pipeline.records import Status
from pipeline.result import RunResult

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

Rows: TypeAlias = Mapping[str, int]
Values: TypeAlias = dict[tuple[str, str], float]  # by a metric's name and the value of its label, "" for none

END = "pipeline_run_end_timestamp_seconds"
STATUS = "pipeline_run_exit_status"
SUCCESS = "pipeline_last_success_timestamp_seconds"
ENDS = {
    END: "When the latest execution ended, however it did.",
    STATUS: "Exit status of the latest execution: 0 is success, 75 continues when run again.",
    SUCCESS: "When an execution last ended with exit status 0.",
}


@dataclass(frozen=True, slots=True)
class Metric:
    """A gauge about the last run that published.

    Attributes:
        name: Its name, with its unit.
        about: Its help text.
        of: Its value, from the result and the rows by status; None where it is not known.
        label: Name of the label that tells its values apart, which `of` then gives by label.
    """

    name: str
    about: str
    of: Callable[[RunResult, Rows], float | Mapping[str, float] | None]
    label: str | None = None


PUBLISHED = (
    Metric(
        "pipeline_rows", "Rows of the output by label_status.",
        lambda _, rows: {status.value: rows.get(status, 0) for status in Status}, "status",
    ),
    Metric("pipeline_rows_reused", "Rows whose answer an earlier run had paid for.", lambda run, _: run.reused),
    Metric("pipeline_rows_duplicate", "Rows that repeat an earlier row's prompt.", lambda run, _: run.duplicates),
    Metric("pipeline_requests", "HTTP calls to the model.", lambda run, _: run.requests),
    Metric("pipeline_retries", "Those among them that had to be repeated.", lambda run, _: run.retries),
    Metric("pipeline_throttled", "Those among them that were refused because of a rate limit (429).", lambda run, _: run.throttled),
    Metric(
        "pipeline_tokens", "Tokens that the run was billed.",
        lambda run, _: {"prompt": run.prompt_tokens, "cached": run.cached_tokens, "completion": run.completion_tokens}, "kind",
    ),
    Metric("pipeline_cost_usd", "US dollars that the run was billed; absent where no price is known.", lambda run, _: run.cost_usd),
    Metric("pipeline_run_duration_seconds", "How long the run's executions took together.", lambda run, _: run.seconds),
)  # fmt: skip


class MetricsFile:
    """The metrics of one config.

    Args:
        path: The file; its name ends in .prom, or the node exporter passes it over. None writes nothing.
        config: The config file: the label `config` of each metric.

    Raises:
        UsageError: If its name ends otherwise.
        CannotCreateError: If it cannot be written: nobody should learn that after a night.
    """

    def __init__(self, path: Path | None, config: Path) -> None:
        self._path, self._config = path, os.path.abspath(config)  # noqa: PTH100 - a name, links and all
        if path is None:
            return
        if path.suffix != ".prom":
            raise UsageError(
                f"--metrics-file: {path}: give a name that ends in .prom, or nobody reads the file"
            )
        if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
            raise CannotCreateError(
                f"--metrics-file: {path}: cannot be written; name a file in a folder that can"
            )

    @contextmanager
    def told(self) -> Iterator[None]:
        """Write how the block failed, if it does; what the last run published stays.

        A run that gives way to another one writes nothing: the other one will.
        """
        try:
            yield
        except BaseException as error:
            failure = as_pipeline_error(error)
            if not isinstance(failure, LockedError):
                self.write(failure.exit_status)
            raise

    def write(self, exit_status: int, result: RunResult | None = None) -> None:
        """Write how an execution ended, whole or not at all; that it cannot be written is only warned of.

        *result* is what it published; a job that had finished before published nothing.
        """
        if self._path is None:
            return
        now = time.time()
        try:
            values = {**self._earlier(), (END, ""): now, (STATUS, ""): exit_status}
            if result is not None and not result.again:
                values |= _published(result)
            if exit_status == 0:
                values[SUCCESS, ""] = now
            from prometheus_client import write_to_textfile  # noqa: PLC0415 - 0.1 s for which no other run waits

            write_to_textfile(str(self._path), self._registry(values))
        except Exception as error:  # noqa: BLE001 - the run is over, and it was as good as it was
            log.warning("--metrics-file: %s: could not be written: %s", self._path, error)

    def _earlier(self) -> Values:
        """Return what the file says so far; a file that is none of ours says nothing."""
        from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

        labels = {**dict.fromkeys(ENDS), **{metric.name: metric.label for metric in PUBLISHED}}
        try:
            families = list(text_string_to_metric_families(self._path.read_text() if self._path else ""))
        except (OSError, ValueError):
            return {}
        return {
            (sample.name, sample.labels.get(labels[sample.name] or "", "")): sample.value
            for family in families
            for sample in family.samples
            if sample.name in labels and sample.labels.get("config") == self._config
        }

    def _registry(self, values: Values) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

        registry = CollectorRegistry()
        described: list[tuple[str, str, str | None]] = [(name, about, None) for name, about in ENDS.items()]
        described += [(metric.name, metric.about, metric.label) for metric in PUBLISHED]
        for name, about, label in described:
            gauge = Gauge(name, about, ["config", label] if label else ["config"], registry=registry)
            for (of, value), number in values.items():
                if of == name:
                    gauge.labels(*([self._config, value] if label else [self._config])).set(number)
        return registry


def _published(result: RunResult) -> Values:
    rows = orjson.loads(Path(result.report).read_bytes())["statuses"]
    found: Values = {}
    for metric in PUBLISHED:
        value = metric.of(result, rows)
        if isinstance(value, Mapping):
            found |= {(metric.name, label): number for label, number in value.items()}
        elif value is not None:
            found[metric.name, ""] = value
    return found
