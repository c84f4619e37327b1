"""Threads between blocking code and the event loop: disk work for the loop, and a loop for callers that block."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import Any, TypeVar

from pipeline.errors import DiskError

T = TypeVar("T")


class Threads:
    """Functions that run in threads, away from the event loop; those that still run can be waited for."""

    def __init__(self) -> None:
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Call *function* in a thread and return its result.

        Raises:
            DiskError: Instead of an OSError.
        """
        future = asyncio.ensure_future(asyncio.to_thread(function, *args))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        try:
            # A thread cannot be cancelled: if the caller is, `join` still knows of the call.
            return await asyncio.shield(future)
        except OSError as error:
            raise DiskError(f"{error}; make room or repair the disk, then run again to continue") from error

    async def join(self) -> None:
        """Wait until no function runs any more, whether it returns or raises."""
        await asyncio.gather(*self._running, return_exceptions=True)


def run_blocking(work: Coroutine[Any, Any, T], stop: Callable[[BaseException], None]) -> T:
    """Run *work* on an event loop of its own, and return its result.

    In this thread, unless a loop is running in it already, as in a notebook: then by `run_in_thread`, with *stop*.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run_on_new_loop(work)
    return run_in_thread(work, stop)


def run_in_thread(work: Coroutine[Any, Any, T], stop: Callable[[BaseException], None]) -> T:
    """Run *work* on an event loop in a thread of its own, and return its result.

    An exception that is raised into the waiting thread, such as KeyboardInterrupt or the timeout of an Airflow task,
    is passed to *stop* instead of ending *work* wherever it is. The last such exception is raised once *work* has
    ended.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        future: Future[T] = thread.submit(_run_on_new_loop, work)
        interruption: BaseException | None = None
        while not future.done():
            try:
                wait([future])
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
                stop(error)
    if interruption is not None:
        raise interruption
    return future.result()


async def run_aside(function: Callable[[], T], stop: Callable[[BaseException], None]) -> T:
    """Call a *function* that blocks in a thread of its own, while the event loop goes on.

    A cancellation is passed to *stop* instead of leaving the thread behind; it is raised once *function* has ended.
    """
    cancelled: asyncio.CancelledError | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        future: Future[T] = thread.submit(copy_context().run, function)  # as asyncio.to_thread does
        waiting = asyncio.wrap_future(future)
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError as error:
                cancelled = error
                stop(error)
    if cancelled is not None:
        waiting.exception()  # it is known, and must not be reported as one that nobody has looked at
        raise cancelled
    return waiting.result()


def _run_on_new_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not available on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop
