"""A call that takes too long is given up; time in which the process was asleep does not count."""

import asyncio
import time
from collections.abc import Coroutine
from typing import cast

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.llm.replies import Reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.deadlines import ASLEEP_SECONDS, TICK_SECONDS, Deadlines
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.llm.transport.test_client import BODY
from tests.llm.virtual_time import VirtualTimeLoop, in_virtual_time, now


async def call(deadlines: Deadlines, seconds: float, limit: float) -> tuple[bool, float]:
    """Take *seconds*; returns whether *limit* was over before that, and when the call ended."""
    task = cast("asyncio.Task[object]", asyncio.current_task())
    deadlines.begin(task, limit)
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if not deadlines.end(task) or task.uncancel():
            raise
        return True, now()
    return deadlines.end(task), now()


def test_a_call_that_takes_too_long_is_given_up_and_its_task_goes_on() -> None:
    async def main() -> list[tuple[bool, float]]:
        deadlines = Deadlines()
        calls = [call(deadlines, seconds, limit) for seconds, limit in ((9, 10), (11, 10), (1, 0.5))]
        return await asyncio.gather(*calls)

    found = in_virtual_time(main())
    assert [expired for expired, _ in found] == [False, True, True]
    assert [at for _, at in found] == pytest.approx([9, 10, 0.5], abs=TICK_SECONDS + 1e-6)


def test_a_task_is_left_alone_once_its_call_has_ended() -> None:
    async def main() -> None:
        await call(Deadlines(), 0.1, 0.2)
        await asyncio.sleep(60)

    in_virtual_time(main())


def test_a_task_that_is_cancelled_for_another_reason_ends() -> None:
    async def main() -> None:
        task = asyncio.create_task(call(Deadlines(), 60, 30))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_virtual_time(main())


@pytest.mark.parametrize(("stalled", "ended"), [(ASLEEP_SECONDS / 2, 10.0), (100.0, 110.0)])
def test_a_deadline_moves_by_the_time_in_which_the_process_was_asleep(stalled: float, ended: float) -> None:
    async def stall() -> None:
        await asyncio.sleep(5)
        cast("VirtualTimeLoop", asyncio.get_running_loop()).stall(stalled)

    async def main() -> tuple[bool, float]:
        waiting: Coroutine[None, None, tuple[bool, float]] = call(Deadlines(), 1000, 10)
        found, _ = await asyncio.gather(waiting, stall())
        return found

    assert in_virtual_time(main()) == (True, pytest.approx(ended, abs=2 * TICK_SECONDS))


async def test_a_reply_that_arrived_while_the_process_slept_counts() -> None:
    with FaultServer(FaultServerSettings(latency=Fixed(0.3)), label_for=lambda _: "games") as server:
        async with Client.open(server.base_url, dict) as client:
            calls = [asyncio.create_task(client.ask(BODY, 1.2)) for _ in range(8)]
            await asyncio.sleep(0.15)
            time.sleep(ASLEEP_SECONDS + 0.5)  # noqa: ASYNC251 - nothing runs, as after SIGSTOP
            assert [type(outcome) for outcome, _ in await asyncio.gather(*calls)] == [Reply] * 8
        assert server.requests == 8
