"""The simulator as a process of its own."""

import asyncio
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import SimulatorSettings


@dataclass(frozen=True, slots=True)
class Sums:
    """What a simulator did in its life.

    Attributes:
        requests: Requests of any kind.
        chats: Those that asked for a completion.
        billed: Those that a provider would have billed.
        repeats: Keys that were billed more than once; None where that was not counted, or for too many keys.
        max_in_flight: The most that were being answered at once.
        prompt_tokens: Sum over the billed ones.
        completion_tokens: Sum over the billed ones.
        withheld: How many got no right answer for each reason: names of faults, `rate limited`, `outage`, ...
    """

    requests: int
    chats: int
    billed: int
    repeats: int | None
    max_in_flight: int
    prompt_tokens: int
    completion_tokens: int
    withheld: Mapping[str, int]


async def serve(settings: SimulatorSettings, announce: Callable[[str], None]) -> Sums:
    """Serve until SIGINT or SIGTERM; *announce* is given the base URL once connections are accepted.

    Raises:
        OSError: If the port is taken, or the log cannot be written; in that case the error names the log.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    failures: list[OSError] = []

    def give_up(error: OSError) -> None:
        failures.append(error)
        stop.set()

    server = Simulator(settings)
    server.log.on_failure = give_up
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        async with server:
            announce(server.base_url)
            await stop.wait()
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)
        server.log.close()
    for failure in failures:
        failure.filename = str(settings.log_path)
        raise failure
    return _sums(server)


def _sums(server: Simulator) -> Sums:
    log = server.log
    return Sums(
        requests=log.requests,
        chats=log.chats,
        billed=log.billed,
        repeats=log.repeats,
        max_in_flight=server.max_in_flight,
        prompt_tokens=log.prompt_tokens,
        completion_tokens=log.completion_tokens,
        withheld=dict(log.reasons.most_common()),
    )
