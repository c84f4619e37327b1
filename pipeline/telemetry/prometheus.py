"""`--metrics-file`: metrics for the textfile collector of Prometheus's node exporter, written when a run has ended."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from pipeline.errors import CannotCreateError, LockedError, UsageError, as_pipeline_error
from pipeline.records import Status
from pipeline.system.atomic import write
from pipeline.telemetry.summary import RunResult

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)

Report: TypeAlias = Mapping[str, Any]
"""The report that a run leaves beside its state when it has published."""

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
        value: Returns its value from the run's report, None if it is unknown; with a *label*, a value for each label.
        label: Name of the label that tells its values apart; None if it has one value.
    """

    name: str
    about: str
    value: Callable[[Report], float | Mapping[str, float] | None]
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


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier executions of a config have left for the metrics of later ones.

    Attributes:
        succeeded_at: Unix time when one last ended with exit status 0.
        report: Path of the report of the last run that published, from the state directory, which may be moved.
    """

    succeeded_at: float | None = None
    report: str | None = None


class MetricsFile:
    """The metrics of one config, in a file of their own.

    Each execution replaces the whole file. What must outlive a failed one is kept in the state directory instead of
    being read back from the file, so it is unknown as long as the config is.

    Args:
        path: The file; its name ends in .prom, or the node exporter ignores it. None writes nothing.
        config: The config file: the label `config` of each metric.

    Raises:
        UsageError: If its name ends otherwise.
        CannotCreateError: If it cannot be written, which must not be found out after a night's work.
    """

    def __init__(self, path: Path | None, config: Path) -> None:
        self._path, self._config = path, os.path.abspath(config)  # noqa: PTH100 - a name, so links stay
        self._state = Path()
        self._past_path: Path | None = None
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

    def config_loaded(self, state: Path, *, is_whole: bool) -> None:
        """Set where the metrics of later executions are remembered: in *state*; a run that is not whole writes none."""
        if not is_whole:
            self._path = None
        # Configs may share a state directory; the name is for people, the hash tells configs of one name apart.
        digest = blake2b(os.fsencode(self._config), digest_size=4).hexdigest()
        self._state, self._past_path = state, state / f"metrics-{Path(self._config).stem}-{digest}.json"

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Write how the block failed, if it does."""
        try:
            yield
        except BaseException as error:
            failure = as_pipeline_error(error)
            if not isinstance(failure, LockedError):  # the run that has the lock writes the metrics
                self.write(failure.exit_status)
            raise

    def write(self, exit_status: int, result: RunResult | None = None) -> None:
        """Replace the file after an execution, with a *result* if it published; only warns if that fails."""
        if self._path is None:
            return
        try:
            now, past = time.time(), self._load_past()
            if result is not None:
                past = replace(past, report=os.path.relpath(result.report, self._state))
            if exit_status == 0:
                past = replace(past, succeeded_at=now)
            ends = {END: now, STATUS: exit_status, SUCCESS: past.succeeded_at}
            from prometheus_client import write_to_textfile  # noqa: PLC0415 - 0.1 s, which only these runs wait

            report = None if past.report is None else self._state / past.report
            write_to_textfile(str(self._path), self._registry(ends, report))
            if result is not None and self._past_path is not None:
                write(self._past_path, orjson.dumps(past))
        except Exception as error:  # noqa: BLE001 - the run is over, and its metrics do not change how it went
            log.warning("--metrics-file: %s: could not be written: %s", self._path, error)

    def _load_past(self) -> Past:
        try:
            return Past(**orjson.loads(self._past_path.read_bytes())) if self._past_path else Past()
        except (OSError, ValueError, TypeError):  # there is none yet, or it is damaged
            return Past()

    def _registry(self, ends: Mapping[str, float | None], report: Path | None) -> "CollectorRegistry":
        from prometheus_client import CollectorRegistry, Gauge  # noqa: PLC0415

        registry = CollectorRegistry()
        for name, number in ends.items():
            if number is not None:
                Gauge(name, ENDS[name], ["config"], registry=registry).labels(self._config).set(number)
        for metric, value in _figures(report):
            if isinstance(value, Mapping):
                gauge = Gauge(metric.name, metric.about, ["config", metric.label or ""], registry=registry)
                for label, number in value.items():
                    gauge.labels(self._config, label).set(number)
            elif value is not None:
                Gauge(metric.name, metric.about, ["config"], registry=registry).labels(self._config).set(
                    value
                )
        return registry


def _figures(path: Path | None) -> list[tuple[Metric, float | Mapping[str, float] | None]]:
    """Return the gauges about the run whose report is at *path*, and their values; none if it cannot be read."""
    if path is None:
        return []
    try:
        report: Report = orjson.loads(path.read_bytes())
        return [(metric, metric.value(report)) for metric in PUBLISHED]
    except (OSError, ValueError, KeyError) as error:
        log.warning("--metrics-file: the figures of the last run are left out: %s: %s", path, error)
        return []
