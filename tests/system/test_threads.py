"""Threads between blocking code and the event loop."""

import asyncio
import threading

import pytest

from pipeline.errors import DiskError
from pipeline.system.threads import Threads, run_blocking


async def test_an_error_of_the_disk_says_so() -> None:
    def write() -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskError, match="No space left on device; make room"):
        await Threads().run(write)


async def test_a_function_whose_caller_is_cancelled_can_still_be_waited_for() -> None:
    threads, started, may_end, ended = Threads(), threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        may_end.wait(10)
        ended.set()

    caller = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(started.wait, 10)
    caller.cancel()
    await asyncio.gather(caller, return_exceptions=True)
    assert not ended.is_set()
    may_end.set()
    await threads.join()
    assert ended.is_set()


def never(reason: BaseException) -> None:
    raise AssertionError(reason)


async def thread_of_the_loop() -> threading.Thread:
    return threading.current_thread()


def test_without_a_running_loop_the_work_is_done_in_this_thread() -> None:
    assert run_blocking(thread_of_the_loop(), never) is threading.current_thread()


async def test_within_a_running_loop_the_work_is_done_in_another_thread() -> None:
    assert run_blocking(thread_of_the_loop(), never) is not threading.current_thread()
