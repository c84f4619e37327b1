"""The Python interface: three functions that block, and work in scripts, notebooks and Airflow tasks alike."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from typing import Any, TypeVar

from pipeline import config as configs
from pipeline.config import Config
from pipeline.job import RunOptions
from pipeline.plan import Plan, plan_job
from pipeline.result import RunResult
from pipeline.run import run_job
from pipeline.watch import Watcher

T = TypeVar("T")


def load_config(
    path: str | PathLike[str], *, overrides: Sequence[str] = (), provider: str | None = None
) -> Config:
    """Read and check the config file at *path*.

    Args:
        path: The YAML file.
        overrides: Settings such as `limits.max_concurrency=8`, which win over the file's.
        provider: Another endpoint than the file's, such as `local`.

    Returns:
        The frozen config; all paths in it are absolute.

    Raises:
        ConfigError: With everything that is wrong, a line each.
        UsageError: If only *overrides* or *provider* are wrong.
        NoInputError: If there is no such file.
    """
    return configs.load_config(str(path), overrides=overrides, provider=provider)


def plan(config: Config, options: RunOptions = RunOptions()) -> Plan:  # noqa: B008 - frozen
    """Say what `run` would send and what it would cost, without sending anything.

    Raises:
        PipelineError: If the config or the input is wrong.
    """
    return _blocking(plan_job(config, options))


def run(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    watch: Watcher | None = None,
    handle_signals: bool = False,
) -> RunResult:
    """Label the table that *config* describes; blocks until it is published.

    Works inside a running event loop too, in a thread of its own then. Signal handlers are installed only if
    asked for, and only in the main thread.

    Args:
        config: From `load_config`.
        options: What to do differently this time.
        watch: Shows progress, such as `pipeline.watch.Bar()`; nothing by default.
        handle_signals: Whether SIGTERM, SIGINT and SIGHUP stop the run gently.

    Returns:
        The result: counts of rows, requests and tokens, the cost in US dollars, where the output is.

    Raises:
        PipelineError: If the run could not finish; its subclass tells why. Calling again continues.
    """
    return _blocking(run_job(config, options, watch=watch, handle_signals=handle_signals))


def _blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end, on an event loop of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _on_new_loop(work)
    # A notebook has a loop running in this thread; another thread may have its own.
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        return thread.submit(_on_new_loop, work).result()


def _on_new_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop
