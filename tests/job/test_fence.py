"""The fence of a run: whoever was asleep looks after its locks before it does anything."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import LockedError
from pipeline.job.fence import FRESH_SECONDS, LOOK_SECONDS, Fence, fenced
from pipeline.system.clock import Clock
from pipeline.system.lock import Lock


class CountedLock(Lock):
    """Counts how often it is looked at, and does something meanwhile."""

    looks = 0

    def ensure_held(self) -> None:
        self.looks += 1
        super().ensure_held()


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[CountedLock]:
    lock = CountedLock(tmp_path / "lock", tmp_path / "out.parquet", "output.path")
    with lock.taken():
        yield lock


def clock_showing(*times: float) -> Clock:
    """A clock that shows one time after the other."""
    shown = iter(times)
    return Clock(now=lambda: next(shown))


async def test_what_was_seen_a_moment_ago_is_not_looked_at_again(lock: CountedLock) -> None:
    fence = Fence(clock_showing(0, FRESH_SECONDS, FRESH_SECONDS), lock)
    await fence.ensure_fresh()
    await fence.ensure_fresh()
    assert lock.looks == 0


async def test_whoever_was_asleep_looks_before_sending(lock: CountedLock) -> None:
    fence = Fence(clock_showing(0, 120, 120, 120, 120), lock)
    await fence.ensure_fresh()
    assert lock.looks == 1
    fence = Fence(clock_showing(0, 120, 120, 120), lock)
    lock.path.unlink()
    with pytest.raises(LockedError):
        await fence.ensure_fresh()


async def test_whoever_fell_asleep_while_looking_looks_again(lock: CountedLock) -> None:
    looked_at = 120.0
    fence = Fence(clock_showing(0, *(looked_at,) * 3, *(looked_at + 60,) * 4), lock)
    await fence.ensure_fresh()
    assert lock.looks == 2


async def test_one_look_serves_all_who_want_to_send(lock: CountedLock) -> None:
    fence = Fence(Clock(), lock)
    await asyncio.sleep(1.1 * FRESH_SECONDS)
    await asyncio.gather(*(fence.ensure_fresh() for _ in range(200)))
    assert lock.looks <= 2


def test_what_is_guarded_is_not_called_without_the_locks(lock: CountedLock) -> None:
    fence = Fence(Clock(), lock)
    assert fence.guard(max, 1, 2) == 2
    lock.path.unlink()
    with pytest.raises(LockedError):
        fence.guard(pytest.fail, "called")


@pytest.mark.parametrize("lost", ["lock", ".out.parquet.lock"])
async def test_a_lock_that_is_lost_stops_the_run_at_the_next_look(
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
        while lock.looks < 2:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
        assert reasons == []
        (tmp_path / lost).unlink()
        while not reasons:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.001)
    assert isinstance(reasons[0], LockedError)
    assert set(slept) == {LOOK_SECONDS}
