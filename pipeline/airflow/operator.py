"""The operator: a run as a task that Airflow can retry, time out and kill without losing an answer.

Nothing heavy is imported before `execute`: Airflow parses DAG files every few seconds.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from pipeline.airflow.hook import Endpoint, PipelineHook
from pipeline.errors import (
    BudgetSpentError,
    ConfigError,
    HeldError,
    InterruptedRunError,
    KeyRefusedError,
    PipelineError,
    UsageError,
)

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.system.shutdown import Stop
    from pipeline.telemetry.summary import RunResult

KEY_VARIABLE = "PIPELINE_AIRFLOW_API_KEY"

DRAIN_SECONDS = 3.0
"""Longest drain: Airflow kills a task 5 s after it has asked it to end."""

NOT_RETRIABLE = (BudgetSpentError, ConfigError, HeldError, KeyRefusedError, UsageError)


class ClassifyOperator(BaseOperator):
    """Label a table: `python -m pipeline run CONFIG` as a task.

    A retry continues where the last try ended, however it ended, and asks nothing twice. Returns the fields of
    `pipeline.RunResult` as a small dict. Each outlet's event has rows, failed, cost_usd and output in its `extra`.

    Args:
        config: Path of the YAML file, on a disk that all workers share. Templated; the file itself never is.
        overrides: Settings that take precedence over the file's: a dict such as `{"limits.max_concurrency": 8}`, or a
            list of `limits.max_concurrency=8`. Templated.
        provider: Ask this endpoint instead of the file's, such as `local`. Templated.
        llm_conn_id: Connection with the key and the base URL, of type `pipeline`, `openai` or `http`; without one
            they come from the config. Templated.
        date: What `${now:...}` in the config stands for, such as `{{ ds }}`; now by default. Templated.
        limit: Label only the first *limit* rows, into an output of their own.
        retry: Ask again for rows whose stored answer has one of these statuses, such as `["error"]`; or `["all"]`. A try
            after one that published asks these once more.
        skip_if_done: Skip the task, and what depends on it, if nothing has changed since the last run.
    """

    template_fields: Sequence[str] = ("config", "overrides", "provider", "llm_conn_id", "date")
    template_ext: Sequence[str] = ()  # a config's {columns} are not for Jinja
    template_fields_renderers: ClassVar[dict[str, str]] = {"overrides": "json"}
    ui_color = "#e8f4ea"

    def __init__(
        self,
        *,
        config: str,
        overrides: Mapping[str, Any] | Sequence[str] = (),
        provider: str | None = None,
        llm_conn_id: str | None = None,
        date: str | None = None,
        limit: int | None = None,
        retry: Sequence[str] = (),
        skip_if_done: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.config = config
        self.overrides = overrides
        self.provider = provider
        self.llm_conn_id = llm_conn_id
        self.date = date
        self.limit = limit
        self.retry = retry
        self.skip_if_done = skip_if_done
        self._stop: Stop | None = None

    def execute(self, context: Mapping[str, Any]) -> dict[str, Any]:
        """Run the job to its end.

        Raises:
            AirflowFailException: If the config or the key is wrong, the budget is spent, too many rows failed, or a
                gate holds the output back: a retry would fail, too.
            AirflowSkipException: If nothing was to be done, and *skip_if_done*.
            AirflowException: For all else; a retry continues.
        """
        try:
            result = self._run()
        except NOT_RETRIABLE as error:
            raise AirflowFailException(str(error)) from None
        except PipelineError as error:
            raise AirflowException(str(error)) from error.__cause__
        if result.exit_status:
            raise AirflowFailException(
                f"{result.failed} of {result.rows} rows failed, more than limits.max_failed allows; see {result.report}"
            )
        # Not after an earlier try: what that one has done is new to the tasks downstream.
        if self.skip_if_done and result.again and context["ti"].try_number == 1:
            raise AirflowSkipException("nothing has changed since the last run")
        self._annotate_outlets(context, result)
        return result.as_dict()

    def on_kill(self) -> None:
        """Stop the run gently: nothing more is sent, and requests in flight may finish."""
        if self._stop is not None:
            self._stop.ask(InterruptedRunError("Airflow ended the task; a retry continues"))

    def _run(self) -> "RunResult":
        from pipeline import RunOptions, run  # noqa: PLC0415
        from pipeline.system.shutdown import Stop  # noqa: PLC0415
        from pipeline.telemetry.progress import Log  # noqa: PLC0415

        endpoint = PipelineHook(self.llm_conn_id).get_conn() if self.llm_conn_id else Endpoint(None, None)
        self._stop = Stop()
        options = RunOptions(limit=self.limit, retry=self.retry)
        with _in_environment(endpoint.key):
            return run(self._config(endpoint), options, watch=Log(), stop=self._stop)

    def _config(self, endpoint: Endpoint) -> "Config":
        from pipeline import load_config  # noqa: PLC0415
        from pipeline.config.environment import moment_of  # noqa: PLC0415

        overrides = [f"model.base_url={json.dumps(endpoint.base_url)}"] if endpoint.base_url else []
        overrides += [f"model.api_key_env={KEY_VARIABLE}", "model.api_key_file=null"] if endpoint.key else []
        overrides += _settings(self.overrides)
        now = moment_of(self.date) if self.date else None
        config = load_config(self.config, overrides=overrides, provider=self.provider or None, now=now)
        limits = config.limits.model_copy(update={"drain": min(config.limits.drain, DRAIN_SECONDS)})
        return config.model_copy(update={"limits": limits})

    def _annotate_outlets(self, context: Mapping[str, Any], result: "RunResult") -> None:
        facts = {name: getattr(result, name) for name in ("rows", "failed", "cost_usd", "output")}
        for outlet in self.outlets:
            context["outlet_events"][outlet].extra.update(facts)


def _settings(overrides: Mapping[str, Any] | Sequence[str]) -> list[str]:
    if isinstance(overrides, Mapping):
        return [f"{name}={json.dumps(value)}" for name, value in overrides.items()]
    return list(overrides)


@contextmanager
def _in_environment(key: str | None) -> Iterator[None]:
    """Keep *key* in the environment while the block runs: it is never in an argument, a file or a log."""
    if key is None:
        yield
        return
    os.environ[KEY_VARIABLE] = key
    try:
        yield
    finally:
        del os.environ[KEY_VARIABLE]
