"""Threads: work on the disk for the event loop, and an event loop for callers that block."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from pipeline.errors import DiskError

T = TypeVar("T")


class Threads:
    """Runs functions in threads and remembers which are still at work."""

    def __init__(self) -> None:
        self._working: set[asyncio.Future[Any]] = set()

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Return what *function* returns.

        Raises:
            DiskError: Instead of an OSError.
        """
        future = asyncio.ensure_future(asyncio.to_thread(function, *args))
        self._working.add(future)
        future.add_done_callback(self._working.discard)
        try:
            return await asyncio.shield(future)
        except OSError as error:
            raise DiskError(f"{error}; make room or repair the disk, then run again to continue") from error

    async def finish(self) -> None:
        """Wait until nothing is at work, whatever comes of it."""
        await asyncio.gather(*self._working, return_exceptions=True)


def blocking(work: Coroutine[Any, Any, T], stop: Callable[[BaseException], None] | None = None) -> T:
    """Run *work* to its end, on an event loop of its own; returns or raises what it does.

    *stop* is that of `in_a_thread`, where a loop is running in this thread already, as in a notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _on_new_loop(work)
    return in_a_thread(work, stop or (lambda _: None))


def in_a_thread(work: Coroutine[Any, Any, T], stop: Callable[[BaseException], None]) -> T:
    """Run *work* as `blocking` does, in a thread of its own.

    What others raise into the waiting thread, such as KeyboardInterrupt or the time-out of an Airflow task, must
    not end a coroutine that happens to run: *stop* is called with it, and again with the next one, and the last goes
    on up once the work has ended.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="pipeline") as thread:
        future: Future[T] = thread.submit(_on_new_loop, work)
        interruption: BaseException | None = None
        while not future.done():
            try:
                wait([future])
            except BaseException as error:  # noqa: BLE001 - it is raised below
                interruption = error
                stop(error)
    if interruption is not None:
        raise interruption
    return future.result()


def _on_new_loop(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it does not exist everywhere
    except ImportError:
        return None
    return uvloop.new_event_loop
