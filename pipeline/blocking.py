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
    return in_a_thread(work, lambda _: None)


def in_a_thread(work: Coroutine[Any, Any, T], stop: Callable[[BaseException], None]) -> T:
    """Run *work* as `blocking` does, in a thread of its own.

    What others raise into the waiting thread, such as KeyboardInterrupt or the time-out of an Airflow task, must
    not end a coroutine that happens to run: *stop* is called with it, and it goes on up once the work has ended.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        future = thread.submit(_on_new_loop, work)
        try:
            return future.result()
        except BaseException as error:
            if not future.done():
                stop(error)
            raise


def _on_new_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop
