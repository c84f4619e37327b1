"""Workers end together; only those with a call in flight are waited for."""

import asyncio

from pipeline.llm.workers import WorkerPool
from tests.llm.virtual_time import in_virtual_time, now


async def work(pool: WorkerPool, seconds: float, ended: list[float], *, sending: bool) -> None:
    """Take *seconds*, with or without a call in flight, and note when it is over."""
    task = asyncio.current_task()
    assert task is not None
    if sending:
        pool.sending.add(task)
    await asyncio.sleep(seconds)
    ended.append(round(now()))


def ended_at(*, seconds: float, sending: bool, limit: float) -> list[float]:
    """Return when a task ended that was not given up by a shutdown with *limit*."""

    async def main() -> list[float]:
        ended: list[float] = []
        pool = WorkerPool(stop=lambda _: None)
        pool.spawn(work(pool, seconds, ended, sending=sending))
        await asyncio.sleep(0.1)
        await pool.shutdown(limit)
        assert pool.closing
        assert pool.sending == set()
        return ended

    return in_virtual_time(main())


def test_a_shutdown_waits_for_what_is_in_flight_up_to_its_limit() -> None:
    assert ended_at(seconds=20, sending=True, limit=25) == [20]
    assert ended_at(seconds=30, sending=True, limit=25) == []
    assert ended_at(seconds=20, sending=True, limit=0) == []


def test_a_shutdown_waits_for_nothing_else() -> None:
    assert ended_at(seconds=20, sending=False, limit=25) == []


def test_the_error_of_a_task_is_reported_and_a_cancelled_task_is_no_error() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> list[BaseException]:
        errors: list[BaseException] = []
        pool = WorkerPool(errors.append)
        pool.spawn(fail())
        pool.spawn(asyncio.sleep(60))
        await asyncio.sleep(1)
        await pool.shutdown(0)
        return errors

    assert [type(error) for error in in_virtual_time(main())] == [ZeroDivisionError]
