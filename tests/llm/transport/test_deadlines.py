"""A call that takes too long is given up; time in which the process slept does not count."""

import asyncio
import time

import pytest

from pipeline.config.latency import Fixed
from pipeline.llm.replies import Failure, Reply
from pipeline.llm.transport.client import Client
from pipeline.llm.transport.deadlines import ASLEEP_SECONDS, Deadlines
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import SimulatorSettings
from tests.llm.transport.test_client import BODY


async def test_a_reply_that_arrived_while_the_process_slept_counts() -> None:
    with Simulator(SimulatorSettings(latency=Fixed(0.3)), label_for=lambda _: "games") as server:
        async with Client.open(server.base_url, dict) as client:
            calls = [asyncio.create_task(client.ask(BODY, 0.6)) for _ in range(8)]
            await asyncio.sleep(0.15)
            time.sleep(ASLEEP_SECONDS + 0.5)  # noqa: ASYNC251 - nobody runs, as after SIGSTOP
            assert [type(outcome) for outcome, _ in await asyncio.gather(*calls)] == [Reply] * 8
        assert server.requests == 8


async def test_a_call_that_takes_too_long_is_given_up_and_its_task_goes_on() -> None:
    with Simulator(SimulatorSettings(faults={"hang": 1.0})) as server:
        async with Client.open(server.base_url, dict) as client:
            outcome, _ = await client.ask(BODY, 0.2)
            assert isinstance(outcome, Failure)
            assert outcome.timed_out
            await asyncio.sleep(0.2)  # it is nobody's task any more


async def test_whoever_is_cancelled_from_elsewhere_ends() -> None:
    with Simulator(SimulatorSettings(faults={"hang": 1.0})) as server:
        async with Client.open(server.base_url, dict) as client:
            call = asyncio.create_task(client.ask(BODY, 30))
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call


async def test_nobody_is_looked_after_who_has_ended() -> None:
    deadlines, task = Deadlines(), asyncio.current_task()
    assert task is not None
    deadlines.begin(task, 0.05)
    assert not deadlines.end(task)
    await asyncio.sleep(0.2)
