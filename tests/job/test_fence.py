"""The fence of a run: a process that was suspended checks its locks before it acts."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LockedError
from pipeline.job.fence import FRESH_SECONDS, Fence, fenced
from pipeline.system.clock import Clock
from pipeline.system.lock import Lock


class CountedLock(Lock):
    """Counts how often it is checked."""

    checks = 0

    def ensure_held(self) -> None:
        self.checks += 1
        super().ensure_held()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[CountedLock]:
    lock = CountedLock(tmp_path / "lock", tmp_path / "out.parquet", "output.path")
    with lock.held():
        yield lock


def clock_showing(*times: float) -> Clock:
    """A clock that shows one time after the other."""
    shown = iter(times)
    return Clock(now=lambda: next(shown))


async def test_locks_that_were_checked_a_moment_ago_are_not_checked_again(lock: CountedLock) -> None:
    fence = Fence(clock_showing(0, FRESH_SECONDS, FRESH_SECONDS), lock)
    await fence.ensure_fresh()
    await fence.ensure_fresh()
    assert lock.checks == 0


async def test_a_process_that_was_suspended_checks_before_it_sends(lock: CountedLock) -> None:
    fence = Fence(clock_showing(0, 120, 120, 120, 120), lock)
    await fence.ensure_fresh()
    assert lock.checks == 1
    fence = Fence(clock_showing(0, 120, 120, 120), lock)
    lock.path.unlink()
    with pytest.raises(LockedError):
        await fence.ensure_fresh()


async def test_a_process_that_was_suspended_amid_a_check_checks_again(lock: CountedLock) -> None:
    checked_at = 120.0
    fence = Fence(clock_showing(0, *(checked_at,) * 3, *(checked_at + 60,) * 4), lock)
    await fence.ensure_fresh()
    assert lock.checks == 2


async def test_all_requests_share_one_check(lock: CountedLock) -> None:
    fence = Fence(Clock(), lock)
    await asyncio.sleep(1.1 * FRESH_SECONDS)
    await asyncio.gather(*(fence.ensure_fresh() for _ in range(200)))
    assert lock.checks <= 2


def test_what_is_guarded_is_not_called_without_the_locks(lock: CountedLock) -> None:
    fence = Fence(Clock(), lock)
    assert fence.guard(max, 1, 2) == 2
    lock.path.unlink()
    with pytest.raises(LockedError):
        fence.guard(pytest.fail, "called")


@pytest.mark.parametrize("lost", ["lock", ".out.parquet.lock"])
async def test_a_lock_that_is_lost_stops_the_run_within_two_seconds(
    lock: CountedLock, tmp_path: Path, lost: str
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    reasons: list[BaseException] = []
    async with (
        fenced(tmp_path / "out.parquet", lock, Clock(sleep=sleep), reasons.append),
        asyncio.timeout(10),
    ):
        while lock.checks < 2:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
        assert reasons == []
        (tmp_path / lost).unlink()
        while not reasons:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)
    assert isinstance(reasons[0], LockedError)
    assert max(slept) <= 2


class SlowLock(CountedLock):
    """Is checked only once *go_on* is set."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.go_on = threading.Event()

    def ensure_held(self) -> None:
        self.go_on.wait(10)
        super().ensure_held()


async def test_a_check_under_way_is_waited_for_before_the_locks_are_released(tmp_path: Path) -> None:
    lock = SlowLock(tmp_path / "lock", tmp_path / "out.parquet", "output.path")
    fence = Fence(Clock(now=iter([0.0, *[120.0] * 9]).__next__), lock)
    with lock.held():
        async with fence.monitored(lambda _: None):
            waiting = asyncio.create_task(fence.ensure_fresh())
            await asyncio.sleep(0)
            waiting.cancel()  # as a worker is when the run ends
            asyncio.get_running_loop().call_later(0.05, lock.go_on.set)
        assert lock.checks == 1
