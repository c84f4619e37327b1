"""A coroutine as a function that blocks, in scripts, notebooks and Airflow tasks alike."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def blocking(work: Coroutine[Any, Any, T]) -> T:
    """Run *work* to its end, on an event loop of its own; returns or raises what it does."""
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
