"""The simulator as a process of its own."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.endpoints.simulator import Simulator
from pipeline.endpoints.simulator_settings import SimulatorSettings


@dataclass(frozen=True, slots=True)
class Sums:
    """What a simulator did in its life."""

    requests: int
    billed: int
    repeats: int | None
    max_in_flight: int
    prompt_tokens: int
    completion_tokens: int


async def serve(settings: SimulatorSettings, announce: Callable[[str], None]) -> Sums:
    """Serve until SIGINT or SIGTERM; *announce* is given the base URL once connections are taken.

    Returns:
        The sums; `repeats` is None where the log was not kept.

    Raises:
        OSError: The port is taken, or the log cannot be written.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with Simulator(settings) as server:
            announce(server.base_url)
            await stop.wait()
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
    log = server.log
    return Sums(
        requests=log.requests,
        billed=log.billed,
        repeats=len(server.repeats()) if settings.keep_entries else None,
        max_in_flight=server.max_in_flight,
        prompt_tokens=log.prompt_tokens,
        completion_tokens=log.completion_tokens,
    )
