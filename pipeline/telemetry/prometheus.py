"""`--metrics-file`: what the node exporter of Prometheus reads from a text file, written when a run has ended."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from pipeline.errors import CannotCreateError, LockedError, UsageError, as_pipeline_error
from pipeline.records import Status
from pipeline.summary import RunResult

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

Report: TypeAlias = Mapping[str, Any]  # what a run that published leaves beside its output
Values: TypeAlias = dict[tuple[str, str, str], float]
"""By a metric's name, the config, and the value of the metric's own label, "" for none."""

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
        of: Its value, from the run's report; None where it is not known.
        label: Name of the label that tells its values apart, which `of` then gives by label.
    """

    name: str
    about: str
    of: Callable[[Report], float | Mapping[str, float] | None]
    label: str | None = None


PUBLISHED = (
    Metric(
        "pipeline_rows", "Rows of the output by label_status.",
        lambda run: {status.value: run["statuses"].get(status, 0) for status in Status}, "status",
    ),
    Metric("pipeline_rows_reused", "Rows whose answer an earlier run had paid for.", itemgetter("reused")),
    Metric("pipeline_rows_duplicate", "Rows that repeat an earlier row's prompt.", itemgetter("duplicates")),
    Metric("pipeline_requests", "HTTP calls to the model.", itemgetter("requests")),
    Metric("pipeline_retries", "Those among them that had to be repeated.", itemgetter("retries")),
    Metric("pipeline_throttled", "Those that were refused because of a rate limit (429).", itemgetter("throttled")),
    Metric(
        "pipeline_tokens", "Tokens that the run was billed.",
        lambda run: {kind: run[f"{kind}_tokens"] for kind in ("prompt", "cached", "completion")}, "kind",
    ),
    Metric("pipeline_cost_usd", "US dollars that the run was billed; absent where no price is known.", itemgetter("cost_usd")),
    Metric("pipeline_run_duration_seconds", "How long the run's executions took together.", itemgetter("seconds")),
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
        if not os.access(path.parent, os.W_OK | os.X_OK) or path.is_dir():
            raise CannotCreateError(
                f"--metrics-file: {path}: cannot be written; name a file in a folder that can"
            )

    @contextmanager
    def reporting(self) -> Iterator[None]:
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

        With a *result*, the figures are those of the report of the run that published it. What the file says of other
        configs stays.
        """
        if self._path is None:
            return
        now = time.time()
        try:
            values = _earlier(self._path)
            if result is not None:
                mine = {(metric.name, self._config) for metric in PUBLISHED}
                values = {key: number for key, number in values.items() if key[:2] not in mine}
                values |= self._published(Path(result.report))
            values |= {(END, self._config, ""): now, (STATUS, self._config, ""): exit_status}
            if exit_status == 0:
                values[SUCCESS, self._config, ""] = now
            from prometheus_client import write_to_textfile  # noqa: PLC0415 - 0.1 s for which no other run waits

            write_to_textfile(str(self._path), _registry(values))
        except Exception as error:  # noqa: BLE001 - the run is over, and it was as good as it was
            log.warning("--metrics-file: %s: could not be written: %s", self._path, error)

    def _published(self, path: Path) -> Values:
        report = orjson.loads(path.read_bytes())
        found: Values = {}
        for metric in PUBLISHED:
            value = metric.of(report)
            if isinstance(value, Mapping):
                found |= {(metric.name, self._config, label): number for label, number in value.items()}
            elif value is not None:
                found[metric.name, self._config, ""] = value
        return found


def _earlier(path: Path) -> Values:
    """Return what the file says so far; a file that is none of ours says nothing."""
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415

    labels = {**dict.fromkeys(ENDS), **{metric.name: metric.label for metric in PUBLISHED}}
    try:
        families = list(text_string_to_metric_families(path.read_text()))
    except (OSError, ValueError):
        return {}
    return {
        (sample.name, sample.labels["config"], sample.labels.get(labels[sample.name] or "", "")): sample.value
        for family in families
        for sample in family.samples
        if sample.name in labels and "config" in sample.labels
    }


def _registry(values: Values) -> "CollectorRegistry":
    from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

    registry = CollectorRegistry()
    described: list[tuple[str, str, str | None]] = [(name, about, None) for name, about in ENDS.items()]
    described += [(metric.name, metric.about, metric.label) for metric in PUBLISHED]
    for name, about, label in described:
        gauge = Gauge(name, about, ["config", label] if label else ["config"], registry=registry)
        for (of, config, value), number in values.items():
            if of == name:
                gauge.labels(*([config, value] if label else [config])).set(number)
    return registry
