"""The best concurrency is found, whatever the endpoint bears and whether or not it says so."""

from collections.abc import Callable
from math import exp
from pathlib import Path
from random import Random

import pytest

from pipeline.servers.simulator.rate_limits import Rates
from pipeline.servers.simulator.settings import RateSettings
from tests.llm.scripted import Call, Case, Sent, limits, said
from tests.llm.virtual_time import in_virtual_time

CHANGE = 30.0
"""Seconds after the start at which an endpoint comes to bear twice as much."""

SPREAD = 0.3  # of the logarithm of a reply's time


class Endpoint:
    """An endpoint with a hidden limit; records when it refused."""

    def __init__(self, seconds: float, behave: Callable[["Endpoint", Call], Sent]) -> None:
        self.seconds, self._behave = seconds, behave
        self._chance = Random(7)
        self.case: Case
        self.refused: list[float] = []
        self.allowances: dict[float, Rates] = {}

    def __call__(self, call: Call) -> Sent:
        return self._behave(self, call)

    def says(self, times: float = 1.0) -> Sent:
        """Reply after about *times* its usual seconds."""
        return said(seconds=self.seconds * times * exp(self._chance.gauss(0, SPREAD) - SPREAD**2 / 2))

    def rate(self, start: float, stop: float) -> float:
        """Replies a second from *start* to *stop*."""
        return sum(start <= at < stop for at in self.case.delivered) / (stop - start)

    def work(self, folder: Path, rate: float, seconds: float) -> "Endpoint":
        """Be asked for *seconds*."""

        async def main() -> None:
            settings = limits(folder, limits={"max_outage": "1d", "max_concurrency": 256})
            self.case = Case(settings, self)
            with pytest.raises(TimeoutError):
                await self.case.run([f"row {n}" for n in range(int(2 * rate * seconds))], within=seconds)
            await self.case.dispatcher.drain(0)

        in_virtual_time(main())
        return self


def slower_beyond(
    capacity: int, *, power: float = 1, doubles: bool = False
) -> Callable[[Endpoint, Call], Sent]:
    def behave(self: Endpoint, call: Call) -> Sent:
        bears = capacity * (2 if doubles and call.at >= CHANGE else 1)
        return self.says(max(1.0, self.case.endpoint.in_flight / bears) ** power)

    return behave


def refuses_beyond(per_minute: float, *, doubles: bool = False) -> Callable[[Endpoint, Call], Sent]:
    def behave(self: Endpoint, call: Call) -> Sent:
        rate = per_minute * (2 if doubles and call.at >= CHANGE else 1)
        if rate not in self.allowances:
            settings = RateSettings(requests_per_minute=rate, retry_after="none")
            self.allowances[rate] = Rates(settings, call.at)
        refusal = self.allowances[rate].refusal(100, call.at)
        if refusal is None:
            return self.says()
        self.refused.append(call.at)
        return Sent(429, refusal.body, {}, 0.01)

    return behave


@pytest.mark.parametrize(("capacity", "seconds"), [(32, 0.5), (8, 0.5), (32, 0.2)])
def test_where_more_in_flight_only_wait_the_best_rate_is_reached_with_few(
    tmp_path: Path, capacity: int, seconds: float
) -> None:
    best = capacity / seconds
    found = Endpoint(seconds, slower_beyond(capacity)).work(tmp_path, best, 40)
    assert found.rate(15, 40) >= 0.9 * best
    assert found.case.dispatcher.concurrency.limit <= 4 * capacity < 256


def test_where_more_in_flight_bring_less_it_turns_back(tmp_path: Path) -> None:
    found = Endpoint(0.5, slower_beyond(32, power=2)).work(tmp_path, 64, 45)
    assert found.rate(15, 45) >= 0.6 * 64  # an eighth of it, at the most in flight that are allowed


def test_a_rate_that_is_not_announced_is_reached_with_few_refusals(tmp_path: Path) -> None:
    found = Endpoint(0.1, refuses_beyond(6000)).work(tmp_path, 100, 45)
    assert found.rate(15, 45) >= 0.9 * 100
    refused = sum(15 <= at < 45 for at in found.refused)
    assert refused <= 0.01 * found.rate(15, 45) * 30


@pytest.mark.parametrize(
    ("behave", "before"),
    [(slower_beyond(16, doubles=True), 32), (refuses_beyond(3000, doubles=True), 50)],
    ids=["latency", "refusals"],
)
def test_twice_the_capacity_is_found_within_fifteen_seconds(
    tmp_path: Path, behave: Callable[[Endpoint, Call], Sent], before: float
) -> None:
    found = Endpoint(0.5, behave).work(tmp_path, 2 * before, CHANGE + 25)
    assert found.rate(15, CHANGE) >= 0.9 * before
    assert found.rate(CHANGE + 15, CHANGE + 25) >= 0.9 * 2 * before
