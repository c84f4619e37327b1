"""Endpoints that refuse for a limit, at random, or for a while are used as well as they allow, with few refusals.

In virtual time, with the product's own concurrency; `python -m tests.benchmarks.pacing` prints more of them.
"""

from functools import partial
from math import inf
from typing import NamedTuple

import pytest

from tests.llm.pacing.simulation import Adaptive, Endpoint, Simulation, adaptive, fixed

AT_64 = 640.0
"""Replies a second with 64 in flight, of 0.1 s each."""


class Fact(NamedTuple):
    """What is promised for an endpoint.

    Attributes:
        seconds: How long it is asked.
        bears: Replies a second that it can give.
        share: That is reached of it, from the first request on.
        refused: Share that is refused for the limit at most, from the first request on.
        refused_later: The same from 15 s on.
    """

    endpoint: Endpoint
    seconds: float
    bears: float
    share: float
    refused: float = 0.0
    refused_later: float = 0.0

    def check(self, seed: int) -> None:
        """Ask the endpoint and compare."""
        found = adaptive(self.endpoint, self.seconds, seed)
        assert found.rate(0, self.seconds) >= self.share * self.bears
        assert found.refused() <= self.refused
        assert found.refused(15) <= self.refused_later


QUICK = {
    "1 % noise": Fact(Endpoint(noise=0.01), 30, 0.99 * AT_64, 0.75),
    "5 % noise": Fact(Endpoint(noise=0.05), 15, 0.95 * AT_64, 0.75),
    "50 a second": Fact(Endpoint(rate=50), 40, 50, 0.9, 0.05, 0.03),
    "2 a second": Fact(Endpoint(rate=2), 60, 2, 0.6, 0.2, 0.12),
    "16 in flight": Fact(Endpoint(in_flight=16), 30, 160, 0.8, 0.03, 0.015),
}

WHOLE = {
    "1 % noise": Fact(Endpoint(noise=0.01), 60, 0.99 * AT_64, 0.85),
    "5 % noise": Fact(Endpoint(noise=0.05), 60, 0.95 * AT_64, 0.85),
    "2 a second": Fact(Endpoint(rate=2), 600, 2, 0.75, 0.03, 0.015),
    "50 a second": Fact(Endpoint(rate=50), 120, 50, 0.9, 0.03, 0.015),
    "400 a second": Fact(Endpoint(rate=400), 120, 400, 0.9, 0.03, 0.015),
    "16 in flight": Fact(Endpoint(in_flight=16), 120, 160, 0.8, 0.015, 0.015),
    "16 in flight, 5 % noise": Fact(Endpoint(in_flight=16, noise=0.05), 120, 160, 0.75, 0.06, 0.06),
    "50 a second, 5 % noise": Fact(Endpoint(rate=50, noise=0.05), 120, 50, 0.85, 0.06, 0.06),
}


@pytest.mark.parametrize("fact", QUICK.values(), ids=list(QUICK))
def test_an_endpoint_is_soon_used_as_well_as_it_allows(fact: Fact) -> None:
    fact.check(20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 24))
@pytest.mark.parametrize("fact", WHOLE.values(), ids=list(WHOLE))
def test_an_endpoint_is_used_as_well_as_it_allows(fact: Fact, seed: int) -> None:
    fact.check(seed)


@pytest.mark.slow
def test_of_many_runs_at_much_noise_nearly_all_reach_most_of_what_is_possible() -> None:
    endpoint = Endpoint(noise=0.1)
    best = fixed(endpoint, 30, 0).rate(0, 30)
    shares = sorted(adaptive(endpoint, 30, seed).rate(0, 30) / best for seed in range(20, 30))
    assert shares[2] >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 23))
def test_where_half_is_refused_whatever_is_sent_it_is_soon_used_in_full(seed: int) -> None:
    found = adaptive(Endpoint(noise=0.5), 60, seed)
    assert found.rate(50, 60) >= 0.75 * 0.5 * AT_64


@pytest.mark.parametrize("seed", [21, 22])
def test_where_a_quarter_is_refused_whatever_is_sent_the_level_does_not_stay_low(seed: int) -> None:
    found = adaptive(Endpoint(reply_seconds=0.02, refusal_seconds=0.015, noise=0.25), 9, seed)
    assert found.rate(6, 9) >= 0.9 * 0.75 * 3200


def test_a_storm_costs_few_requests_and_is_over_when_it_is_over() -> None:
    found = adaptive(Endpoint(storm=(10, 70)), 85, seed=20)
    assert found.sent_in(10, 70) <= 60
    assert found.seconds_until(0.9 * AT_64, 70) <= 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 24))
def test_a_storm_that_tells_to_wait_costs_as_few(seed: int) -> None:
    found = adaptive(Endpoint(storm=(20, 80), told=(0, 0, 5)), 110, seed)
    assert found.sent_in(20, 80) <= 60
    assert found.seconds_until(0.9 * AT_64, 80) <= 15


@pytest.mark.parametrize("seconds", [0.05, 0.5])
def test_the_level_is_not_stuck_low_after_a_burst_of_refusals(seconds: float) -> None:
    found = adaptive(Endpoint(storm=(10, 10 + seconds)), 25, seed=20)
    assert found.seconds_until(0.9 * AT_64, 10) <= 8
    assert found.rate(18, 25) >= 0.9 * AT_64


def test_twice_the_capacity_in_flight_is_found_within_twenty_seconds() -> None:
    found = adaptive(Endpoint(in_flight=16, change=(15, 2)), 40, seed=20)
    assert found.seconds_until(0.9 * 320, 15) <= 20


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 24))
@pytest.mark.parametrize(
    ("endpoint", "doubled"),
    [(Endpoint(in_flight=16, change=(40, 2)), 320), (Endpoint(rate=50, change=(40, 2)), 100)],
    ids=["in flight", "rate"],
)
def test_twice_the_capacity_is_found_within_twenty_seconds(
    endpoint: Endpoint, doubled: float, seed: int
) -> None:
    assert adaptive(endpoint, 70, seed).seconds_until(0.9 * doubled, 40) <= 20


def test_a_first_request_that_is_refused_by_chance_is_soon_made_up_for() -> None:
    found = adaptive(Endpoint(noise=0.05), 14, seed=25)
    assert found.replied[0] > 0.1
    assert found.rate(5, 14) >= 0.75 * 0.95 * AT_64


@pytest.mark.parametrize("noise", [0.15, 0.19])
def test_much_noise_does_not_wear_the_level_away_however_much_is_sent(noise: float) -> None:
    found = adaptive(Endpoint(reply_seconds=0.02, refusal_seconds=0.015, noise=noise), 10, seed=21)
    assert found.rate(4, 10) >= 0.9 * (1 - noise) * 3200


def test_few_rows_at_a_slow_endpoint_with_noise_take_little_longer_than_with_a_fixed_number() -> None:
    endpoint = Endpoint(reply_seconds=8, noise=0.05)
    ours, best = (ask(endpoint, inf, seed=20, rows=200).replied[-1] for ask in (adaptive, fixed))
    assert ours <= best / 0.7


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_where_more_in_flight_only_wait_longer_few_are_sent_and_nearly_all_is_reached(noise: float) -> None:
    endpoint = Endpoint(reply_seconds=0.5, bears=16, noise=noise)
    simulation = Simulation(endpoint, partial(Adaptive, 256), 20)
    found = simulation.run(40)
    assert found.rate(15, 40) >= 0.75 * 32
    assert isinstance(simulation.client, Adaptive)
    assert simulation.client.concurrency.limit <= 66
