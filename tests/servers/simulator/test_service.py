"""What a request gets follows from seed, text and ask, and is decided in memory that does not grow."""

import tracemalloc
from pathlib import Path

import pytest

from pipeline.config.latency import Fixed, Uniform
from pipeline.servers.simulator import log, service
from pipeline.servers.simulator.service import Service
from pipeline.servers.simulator.settings import SimulatorSettings
from tests.faultserver.client import chat


def faults_of(seed: int, order: range, times: int = 1) -> dict[str, list[str | None]]:
    """The faults of each row at each ask."""
    service = Service(SimulatorSettings(seed=seed, faults={"http_500": 0.3, "prose": 0.2}))
    drawn: dict[str, list[str | None]] = {}
    for _ in range(times):
        for n in order:
            drawn.setdefault(f"row {n}", []).append(service.chat(chat(f"row {n}")).decision.reason)
    return drawn


def test_the_same_seed_texts_and_asks_give_the_same_faults_in_any_order():
    assert faults_of(7, range(60), times=3) == faults_of(7, range(59, -1, -1), times=3)


def test_a_row_that_is_asked_again_and_another_seed_have_new_dice():
    assert {len(set(faults)) for faults in faults_of(7, range(20), times=20).values()} <= {2, 3}
    assert faults_of(7, range(60)) != faults_of(8, range(60))


def test_a_seed_draws_the_same_faults_in_every_version():
    drawn = [fault for (fault,) in faults_of(7, range(10)).values()]
    assert drawn == [None, None, "http_500", None, "http_500", None, None, "prose", "prose", "prose"]


def test_the_shares_of_faults_are_kept():
    names = [name for (name,) in faults_of(0, range(2000)).values()]
    assert 520 < names.count("http_500") < 680
    assert 320 < names.count("prose") < 480


def test_the_same_seed_texts_and_asks_take_as_long_in_any_order():
    def delays(order: range) -> dict[int, float]:
        simulated = Service(SimulatorSettings(seed=3, latency=Uniform(0.1, 0.9), faults={"cut_json": 0.5}))
        return {n: simulated.chat(chat(f"row {n}")).delay for n in order}

    assert delays(range(40)) == delays(range(39, -1, -1))
    assert len(set(delays(range(40)).values())) == 40


def test_latency_grows_in_proportion_to_what_is_in_flight_beyond_the_capacity():
    simulated = Service(SimulatorSettings(latency=Fixed(0.5), capacity=2))
    assert [simulated.chat(chat(f"row {n}")).delay for n in range(4)] == [0.5, 0.5, 0.75, 1.0]
    simulated.capacity = None
    assert simulated.chat(chat("another row")).delay == 0.5


def test_a_prefix_counts_as_cached_from_its_second_use_on_until_many_others_have_come(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(service, "CACHED_PREFIXES", 2)
    simulated = Service(SimulatorSettings())
    systems = [letter * 5000 for letter in "aabca"]
    cached = [simulated.chat(chat("x", system=system)).sent.body for system in systems]
    assert [b'"cached_tokens":1152' in body for body in cached] == [False, True, False, False, False]


def test_memory_does_not_grow_with_the_number_of_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(service, "CACHED_PREFIXES", 100)
    monkeypatch.setattr(log, "RECENT_TEXTS", 100)
    simulated = Service(SimulatorSettings(faults={"http_500": 0.3}, log_path=Path("/dev/null")))

    def ask(numbers: range) -> None:
        for number in numbers:
            simulated.note(simulated.chat(chat(f"row {number}", system=f"{number}" * 2000)))
            simulated.end()

    ask(range(500))
    tracemalloc.start()
    ask(range(500, 1500))
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    simulated.log.close()
    assert grown < 256 * 1024
    assert (simulated.log.chats, simulated.in_flight) == (1500, 0)
