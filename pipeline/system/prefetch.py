"""Prefetching: a worker thread produces the next items of an iterator while the current one is used.

It pays where producing mostly waits for the disk or for C code. The worker takes one step at a time, so the iterator
itself need not be thread-safe. `map_in_threads` has several workers, and a function that must be.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")
_END = object()

SYNC_DEPTH = 1
"""Items that `prefetch_sync` keeps ready: with two, publishing holds 6 MB more and is no faster."""


def prefetch_sync(items: Iterator[T]) -> Generator[T, None, None]:
    """Yield *items* in order, while one worker thread produces the next SYNC_DEPTH of them.

    An exception of *items* is raised after the items before it. However this ends, the thread has ended then.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as worker:
        ready = deque(worker.submit(next, items, _END) for _ in range(SYNC_DEPTH))
        while (item := ready.popleft().result()) is not _END:
            ready.append(worker.submit(next, items, _END))
            yield item  # type: ignore[misc]  # all but _END are T
            del item  # or it would live until the next one is ready


def map_in_threads(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield what *function* makes of each of *items*, in order, while as many *threads* are at the next ones.

    The first exception, in order, is raised. However this ends, the threads have ended then.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="map") as pool:
        started = deque[Future[R]]()
        try:
            for item in items:
                started.append(pool.submit(function, item))
                if len(started) > threads:
                    yield started.popleft().result()
            while started:
                yield started.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


async def prefetch(items: Iterator[T], depth: int = 2) -> AsyncGenerator[T, None]:
    """Yield *items* in order on the event loop, while one worker thread produces the next *depth* of them.

    An exception of *items* is raised after the items before it. However this ends, *items* is closed (in its thread)
    and the thread has ended; wrap it in `contextlib.aclosing` if the loop over it may stop early.
    """
    worker = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
    ready = deque(worker.submit(next, items, _END) for _ in range(depth))
    try:
        while (item := await asyncio.wrap_future(ready[0])) is not _END:
            ready.popleft()
            ready.append(worker.submit(next, items, _END))
            yield item  # type: ignore[misc]  # all but _END are T
    finally:
        await _close(worker, ready, items)


async def _close(worker: ThreadPoolExecutor, ready: deque[Future[object]], items: Iterator[T]) -> None:
    for future in ready:
        future.cancel()
    close = getattr(items, "close", None)
    # The worker takes its steps in order, so a generator is never closed while it runs.
    closed = worker.submit(close) if close else worker.submit(int)
    worker.shutdown(wait=False)
    await asyncio.shield(asyncio.wrap_future(closed))
