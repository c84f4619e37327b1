"""The Python interface to jobs: functions that work in scripts, notebooks and Airflow tasks alike."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any

from pipeline import config as configs
from pipeline.config import Config
from pipeline.config.given import Overrides
from pipeline.errors import HeldError, InterruptedRunError, LockedError, PipelineError, UsageError
from pipeline.job.job import RunOptions, is_whole
from pipeline.job.prepare import Start, started
from pipeline.job.result import evaluation_in
from pipeline.system.interactive import is_interactive
from pipeline.system.interruption import deferred
from pipeline.system.memory import limit_free_memory
from pipeline.telemetry.healthcheck import reporting
from pipeline.telemetry.summary import RunResult

if TYPE_CHECKING:
    from pipeline.commands.plan import Plan
    from pipeline.system.shutdown import Stop
    from pipeline.telemetry.progress import Watcher


def load_config(
    config: str | PathLike[str] | Mapping[str, Any],
    *,
    overrides: Overrides = (),
    provider: str | None = None,
    now: datetime | None = None,
) -> Config:
    """Read and check a config.

    Args:
        config: The YAML file. Or a mapping with the same keys; relative paths in it are relative to the working
            directory.
        overrides: Settings that take precedence: a dict such as `{"limits.max_concurrency": 8}`, or a
            list of `limits.max_concurrency=8`.
        provider: Ask this endpoint instead of the config's, such as `local`.
        now: What `${now:...}` in the config stands for; the local time by default.

    Returns:
        The frozen config; all paths in it are absolute. Its method `with_` makes one with other settings.

    Raises:
        ConfigError: With all problems, a line each.
        UsageError: If only *overrides* or *provider* are wrong.
        NoInputError: If the file does not exist.
    """
    if not isinstance(config, str | PathLike | Mapping):
        raise UsageError(
            f"load_config: takes the path of a YAML file or a dict, not a {type(config).__name__}"
        )
    given = config if isinstance(config, Mapping) else os.fspath(config)
    return configs.load_config(given, overrides=overrides, provider=provider, now=now)


def plan(config: Config, options: RunOptions = RunOptions()) -> "Plan":  # noqa: B008 - frozen
    """Return what `run` would send and what it would cost, without sending anything.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    _ensure_are(config, options)
    from pipeline.commands import plan as command  # noqa: PLC0415 - a finished job must not wait for it

    return command.plan(config, options)


def run(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    watch: "Watcher | None" = None,
    progress: bool | None = None,
    stop: "Stop | None" = None,
    handle_signals: bool = False,
) -> RunResult:
    """Label the table that *config* describes; blocks until it is published.

    Works inside a running event loop, too: unless it handles signals, the work is done in a thread of its own, and
    an exception that is raised into the waiting thread, such as KeyboardInterrupt, stops the run gently. Signal
    handlers are installed only if asked for, and only in the main thread.

    Args:
        config: From `load_config`.
        options: What to do differently this time.
        watch: Shows progress, such as `pipeline.telemetry.progress.Log()`.
        progress: Whether to show a progress bar where there is no *watch*; by default in a notebook or at a prompt only.
        stop: Lets another thread end the run gently: pass the reason to its `ask`.
        handle_signals: Whether SIGTERM, SIGINT and SIGHUP stop the run gently.

    Returns:
        The result: counts of rows, requests and tokens, the cost in US dollars, and the output's path.

    Raises:
        UsageError: If *config* or *options* are something else.
        PipelineError: If the run could not finish; the subclass is the reason. Calling again continues.
    """
    _ensure_are(config, options)
    healthcheck_url = config.notify.healthcheck_url if is_whole(options, config.model.provider) else None
    with (
        reporting(healthcheck_url) as check,
        _partial_after(config, options),
        started(config, options) as start,
    ):
        if start.result is None:
            check.report_start()
            watch = watch or _watch(progress=progress)
        result = start.result or _labelled(config, options, start, watch, stop, handle_signals=handle_signals)
        check.report_result(result)
        return result


async def arun(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    watch: "Watcher | None" = None,
    progress: bool | None = None,
    stop: "Stop | None" = None,
) -> RunResult:
    """Label the table that *config* describes, while the running event loop goes on; otherwise like `run`.

    A cancellation stops the run gently: nothing more is sent, the requests in flight may finish, and then CancelledError
    is raised. Calling again continues.
    """
    from pipeline.system.shutdown import Stop  # noqa: PLC0415 - imports asyncio
    from pipeline.system.threads import run_aside  # noqa: PLC0415 - as above

    stop = stop or Stop()
    return await run_aside(lambda: run(config, options, watch=watch, progress=progress, stop=stop), stop.ask)


def _ensure_are(config: object, options: object) -> None:
    if not isinstance(config, Config):
        raise UsageError(f"config: is of type {type(config).__name__}; write load_config(...) around it")
    if not isinstance(options, RunOptions):
        raise UsageError(f"options: is of type {type(options).__name__}; write RunOptions(...)")


def _watch(*, progress: bool | None) -> "Watcher | None":
    """Return what shows the progress where the caller has nothing of its own."""
    if not (is_interactive() if progress is None else progress):
        return None
    from pipeline.telemetry.interactive import InteractiveBar  # noqa: PLC0415 - imports asyncio

    return InteractiveBar()


def _labelled(
    config: Config,
    options: RunOptions,
    start: Start,
    watch: "Watcher | None",
    stop: "Stop | None",
    *,
    handle_signals: bool,
) -> RunResult:
    """Label the table, and draw the report of what came out, also of what is held back."""
    try:
        result = _label(start, watch, stop, handle_signals=handle_signals)
    except HeldError:
        _draw_report(config, options)
        raise
    _draw_report(config, options)
    return result if config.task.gold is None else replace(result, evaluation=evaluation_in(result.report))


def _draw_report(config: Config, options: RunOptions) -> None:
    if config.output.report and options.part is None:
        from pipeline.commands.report.apart import draw_apart  # noqa: PLC0415 - a finished job must not wait for it

        draw_apart(config, options)


@contextmanager
def _partial_after(config: Config, options: RunOptions) -> Iterator[None]:
    """Publish what is answered once a run has been stopped that wants it; only then is its state free."""
    try:
        yield
    except InterruptedRunError as error:
        if not options.partial or options.offline or isinstance(error, LockedError):
            raise
        raise type(error)(*error.problems, _partial(config, options)) from error


def _partial(config: Config, options: RunOptions) -> str:
    """Publish what is answered, and return a sentence about it."""
    try:
        with started(config, replace(options, offline=True)) as start:
            result = start.result or _label(start, None, None, handle_signals=False)
    except PipelineError as error:
        return f"there is no partial output: {'; '.join(error.problems)}"
    _draw_report(config, replace(options, offline=True))
    return f"{result.rows - result.pending:,} of {result.rows:,} rows are in {result.output}"


def _label(start: Start, watch: "Watcher | None", stop: "Stop | None", *, handle_signals: bool) -> RunResult:
    limit_free_memory()
    with deferred():
        # Imported only now: a finished job must not wait for aiohttp, uvloop and polars.
        from pipeline.commands.slice import run_slice  # noqa: PLC0415
        from pipeline.journey import run_started  # noqa: PLC0415
        from pipeline.system.shutdown import Stop  # noqa: PLC0415
        from pipeline.system.threads import run_blocking, run_in_thread  # noqa: PLC0415

    stop = stop or Stop()
    stop.handles_signals = handle_signals
    if start.job.options.on_ray:
        from pipeline.commands.ray.driver import run_on_ray  # noqa: PLC0415 - few runs are

        work = run_on_ray(start, watch=watch, stop=stop)
    else:
        begin = run_started if start.job.options.part is None else run_slice
        work = begin(start, watch=watch, stop=stop)
    return run_blocking(work, stop.ask) if handle_signals else run_in_thread(work, stop.ask)
