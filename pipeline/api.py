"""The Python interface: three functions that block, and work in scripts, notebooks and Airflow tasks alike."""

from collections.abc import Sequence
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING

from pipeline import config as configs
from pipeline.config import Config
from pipeline.job.job import RunOptions
from pipeline.job.prepare import Start, started
from pipeline.summary import RunResult
from pipeline.system.memory import keep_no_free_memory
from pipeline.telemetry.healthcheck import reporting

if TYPE_CHECKING:
    from pipeline.commands.plan import Plan
    from pipeline.system.shutdown import Stop
    from pipeline.telemetry.progress import Watcher


def load_config(
    path: str | PathLike[str],
    *,
    overrides: Sequence[str] = (),
    provider: str | None = None,
    now: datetime | None = None,
) -> Config:
    """Read and check the config file at *path*.

    Args:
        path: The YAML file.
        overrides: Settings such as `limits.max_concurrency=8`, which win over the file's.
        provider: Another endpoint than the file's, such as `local`.
        now: What `${now:...}` stands for in the file; by default the local time.

    Returns:
        The frozen config; all paths in it are absolute.

    Raises:
        ConfigError: With everything that is wrong, a line each.
        UsageError: If only *overrides* or *provider* are wrong.
        NoInputError: If there is no such file.
    """
    return configs.load_config(str(path), overrides=overrides, provider=provider, now=now)


def plan(config: Config, options: RunOptions = RunOptions()) -> "Plan":  # noqa: B008 - frozen
    """Say what `run` would send and what it would cost, without sending anything.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    from pipeline.commands.plan import plan_job  # noqa: PLC0415
    from pipeline.system.threads import blocking  # noqa: PLC0415 - `run` has its own time for them

    return blocking(plan_job(config, options))


def run(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    watch: "Watcher | None" = None,
    stop: "Stop | None" = None,
    handle_signals: bool = False,
) -> RunResult:
    """Label the table that *config* describes; blocks until it is published.

    Works inside a running event loop too: unless it handles signals, the work is done in a thread of its own, and
    an exception that is raised into the waiting one, such as KeyboardInterrupt, stops the run gently. Signal handlers
    are installed only if asked for, and only in the main thread.

    Args:
        config: From `load_config`.
        options: What to do differently this time.
        watch: Shows progress, such as `pipeline.telemetry.progress.Bar()`; nothing by default.
        stop: Lets another thread end the run gently: its `ask` takes the reason.
        handle_signals: Whether SIGTERM, SIGINT and SIGHUP stop the run gently.

    Returns:
        The result: counts of rows, requests and tokens, the cost in US dollars, where the output is.

    Raises:
        PipelineError: If the run could not finish; its subclass tells why. Calling again continues.
    """
    whole = options.selection is None and config.model.provider != "simulate"  # others say nothing of the job
    with (
        reporting(config.notify.healthcheck_url if whole else None) as check,
        started(config, options) as start,
    ):
        if start.result is None:
            check.begun()
        result = start.result or _go_on(start, watch, stop, handle_signals=handle_signals)
        check.done(result)
        return result


def _go_on(start: Start, watch: "Watcher | None", stop: "Stop | None", *, handle_signals: bool) -> RunResult:
    # A finished job must not wait for aiohttp, uvloop and polars.
    keep_no_free_memory()
    from pipeline.journey import go_on  # noqa: PLC0415
    from pipeline.system.shutdown import Stop  # noqa: PLC0415
    from pipeline.system.threads import blocking, in_a_thread  # noqa: PLC0415

    stop = stop or Stop()
    stop.heeds_signals = handle_signals
    work = go_on(start, watch=watch, stop=stop)
    return blocking(work, stop.ask) if handle_signals else in_a_thread(work, stop.ask)
