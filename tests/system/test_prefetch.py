"""Prefetching, on the event loop and without one: in order, so many items ahead, and nothing is left behind."""

import asyncio
import threading
import weakref
from contextlib import aclosing

import pytest

from pipeline.system.prefetch import SYNC_DEPTH, map_in_threads, prefetch, prefetch_sync


class Counter:
    """An iterator that knows what was taken from it, by which threads, and whether it was closed."""

    def __init__(self, stop=1000, fail_at=None):
        self.taken, self.closed, self.threads = 0, False, set()
        self._stop, self._fail_at = stop, fail_at

    def items(self):
        try:
            for number in range(self._stop):
                self.threads.add(threading.current_thread())
                if number == self._fail_at:
                    raise RuntimeError("broken")
                self.taken += 1
                yield number
        finally:
            self.closed = True

    def threads_alive(self):
        return [thread for thread in self.threads if thread.is_alive()]


async def settle():
    """Give the thread every chance to run ahead."""
    for _ in range(50):
        await asyncio.sleep(0.001)


async def test_items_come_in_order_and_from_one_other_thread():
    source = Counter(stop=50)
    assert [item async for item in prefetch(source.items())] == list(range(50))
    assert len(source.threads) == 1
    assert threading.current_thread() not in source.threads
    assert source.closed


@pytest.mark.parametrize("depth", [1, 2, 5])
async def test_at_most_so_many_items_wait(depth):
    source = Counter()
    async with aclosing(prefetch(source.items(), depth)) as items:
        given = 0
        async for _ in items:
            given += 1
            await settle()
            assert source.taken == given + depth
            if given == 5:
                break


async def test_closing_early_closes_the_iterator_and_ends_the_thread():
    source = Counter()
    async with aclosing(prefetch(source.items())) as items:
        assert await anext(items) == 0
    assert source.closed
    await settle()
    assert not source.threads_alive()


async def test_an_exception_comes_out_after_the_items_before_it():
    source = Counter(fail_at=3)
    items = prefetch(source.items())
    assert [await anext(items), await anext(items), await anext(items)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="broken"):
        await anext(items)
    assert source.closed
    await settle()
    assert not source.threads_alive()


async def test_cancelling_the_consumer_closes_the_iterator_once_its_step_is_done():
    started, go_on, closed, steps = threading.Event(), threading.Event(), threading.Event(), []

    def slow():
        try:
            while True:
                steps.append(1)
                started.set()
                go_on.wait(10)
                yield 1
        finally:
            closed.set()

    async def consume():
        async with aclosing(prefetch(slow())) as items:
            async for _ in items:
                pass

    task = asyncio.create_task(consume())
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    await settle()
    assert not closed.is_set()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed.is_set()
    assert len(steps) == 1


async def test_an_iterator_without_close_is_fine():
    assert [item async for item in prefetch(iter([1, 2]), depth=5)] == [1, 2]


def test_without_an_event_loop_items_come_in_order_and_from_one_other_thread():
    source = Counter(stop=50)
    assert list(prefetch_sync(source.items())) == list(range(50))
    assert len(source.threads) == 1
    assert threading.current_thread() not in source.threads
    assert not source.threads_alive()


def test_without_an_event_loop_at_most_so_many_items_wait():
    source = Counter()
    items = prefetch_sync(source.items())
    next(items)
    items.close()  # waits for the thread
    assert source.taken == 1 + SYNC_DEPTH
    assert not source.threads_alive()


def test_without_an_event_loop_an_exception_comes_out_after_the_items_before_it():
    source = Counter(fail_at=3)
    items = prefetch_sync(source.items())
    assert [next(items), next(items), next(items)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="broken"):
        next(items)
    assert not source.threads_alive()


class Item:
    """Something that a weak reference can be had of."""


def test_without_an_event_loop_an_item_is_not_kept_until_the_next_one_is_there():
    seen, is_gone = [], threading.Event()

    def items():
        yield Item()
        yield is_gone.wait(10)

    for item in prefetch_sync(items()):
        if isinstance(item, Item):
            seen.append(weakref.ref(item, lambda _: is_gone.set()))
        else:
            assert item, "the first item is still there"
        del item
    assert len(seen) == 1


def test_several_threads_work_at_once_and_their_results_come_in_order():
    both = threading.Barrier(2, timeout=10)
    second_is_done = threading.Event()

    def work(number):
        both.wait()
        if number == 0:
            assert second_is_done.wait(10)
        else:
            second_is_done.set()
        return number

    assert list(map_in_threads(work, [0, 1], threads=2)) == [0, 1]


def test_several_threads_are_at_most_so_many_items_ahead():
    source = Counter()
    results = map_in_threads(str, source.items(), threads=3)
    assert [next(results), next(results)] == ["0", "1"]
    results.close()
    assert source.taken == 2 + 3


def test_an_exception_in_one_of_several_threads_comes_out_after_the_results_before_it():
    results = map_in_threads(lambda number: 6 // number, [2, 1, 0, 3], threads=2)
    assert [next(results), next(results)] == [3, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("map")]
