"""What a request gets follows from seed, text and ask, and is decided in memory that does not grow."""

import tracemalloc
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed, Uniform
from pipeline.servers.simulator import call, log
from pipeline.servers.simulator.service import Service
from pipeline.servers.simulator.settings import InFlightLimit, RateSettings, Refusal, SimulatorSettings
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
    monkeypatch.setattr(call, "CACHED_PREFIXES", 2)
    simulated = Service(SimulatorSettings())
    systems = [letter * 5000 for letter in "aabca"]
    cached = [simulated.chat(chat("x", system=system)).sent.body for system in systems]
    assert [b'"cached_tokens":1152' in body for body in cached] == [False, True, False, False, False]


def test_memory_does_not_grow_with_the_number_of_requests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(call, "CACHED_PREFIXES", 100)
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


def statuses(simulated: Service, rows: range, *, at_once: int) -> list[int]:
    """The statuses of *rows*, of which so many are in flight at once."""
    seen = []
    for n in rows:
        seen.append(simulated.chat(chat(f"row {n}")).sent.status)
        if simulated.in_flight == at_once:
            simulated.end()
    return seen


@pytest.mark.parametrize("at_once", [1, 50])
def test_a_share_is_refused_whatever_the_load(at_once: int):
    simulated = Service(SimulatorSettings(refusals=(Refusal(429, 0.1), Refusal(503, 0.05, 1.5))))
    seen = statuses(simulated, range(4000), at_once=at_once)
    assert 330 < seen.count(429) < 470
    assert 150 < seen.count(503) < 250
    assert seen.count(200) == 4000 - seen.count(429) - seen.count(503)


def test_a_refusal_at_random_comes_at_once_and_tells_only_the_wait_that_was_chosen():
    for refusal, told in ((Refusal(429, 1), []), (Refusal(503, 1, 1.5), [("Retry-After", "1.5")])):
        served = Service(SimulatorSettings(latency=Fixed(9), refusals=(refusal,))).chat(chat("x"))
        assert (served.sent.status, served.delay, served.decision.reason) == (
            refusal.status,
            0,
            "refused at random",
        )
        assert [header for header in served.sent.headers if header[0] != "x-request-id"] == told
        assert b"again" not in served.sent.body


def test_a_row_that_was_refused_at_random_is_answered_another_time():
    simulated = Service(SimulatorSettings(refusals=(Refusal(429, 0.5),)))
    assert {simulated.chat(chat("x")).sent.status for _ in range(40)} == {200, 429}


def test_faults_and_refusals_share_the_same_dice():
    simulated = Service(SimulatorSettings(faults={"http_500": 0.5}, refusals=(Refusal(429, 0.5),)))
    assert set(statuses(simulated, range(200), at_once=1)) == {500, 429}


@pytest.mark.parametrize("status", [429, 503])
def test_what_is_beyond_the_limit_in_flight_is_refused_and_takes_no_place(status: int):
    simulated = Service(SimulatorSettings(in_flight=InFlightLimit(3, status), latency=Fixed(9)))
    seen = []
    for n in range(5):
        served = simulated.chat(chat(f"row {n}"))
        seen.append(served.sent.status)
        if served.delay == 0:
            simulated.end()
    assert seen == [200, 200, 200, status, status]
    assert [name for name, _ in served.sent.headers] == ["x-request-id"]
    simulated.end()
    assert simulated.chat(chat("another")).sent.status == 200


def test_hidden_rates_are_kept_and_told_nowhere():
    rates = RateSettings(requests_per_minute=60, hidden=True, retry_after="none")
    simulated = Service(SimulatorSettings(rates=rates), clock=lambda: 0.0)
    taken, refused = simulated.chat(chat("a")).sent, simulated.chat(chat("b")).sent
    assert (taken.status, refused.status) == (200, 429)
    for sent in (taken, refused):
        assert [name for name, _ in sent.headers] == ["x-request-id"]
    assert b"60" not in refused.body
    assert b"again" not in refused.body
