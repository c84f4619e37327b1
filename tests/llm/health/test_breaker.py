"""When the endpoint counts as gone, how it is found again, and what must end the run."""

import asyncio
from itertools import pairwise

import pytest

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.health.breaker import CircuitBreaker
from pipeline.llm.replies import Failure, FailureKind
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


def failed(kind: FailureKind = FailureKind.TRANSIENT, status: int | None = None) -> Failure:
    return Failure(kind, "what it said", status)


def healthy(max_outage: float = 1800) -> CircuitBreaker:
    return CircuitBreaker(virtual_clock(), max_outage)


def mixed(health: CircuitBreaker, good: int, bad: int, kind: FailureKind = FailureKind.TRANSIENT) -> None:
    for _ in range(good):
        health.on_reply(again=False)
    for _ in range(bad):
        assert health.on_failure(failed(kind), again=False) is None


@pytest.mark.parametrize(
    ("good", "bad", "kind", "is_open"),
    [
        (0, 19, FailureKind.TRANSIENT, False),
        (0, 20, FailureKind.TRANSIENT, True),
        (2, 18, FailureKind.TRANSIENT, True),
        (3, 17, FailureKind.TRANSIENT, False),
        (70, 30, FailureKind.TRANSIENT, False),
        (0, 20, FailureKind.GARBLED, True),
        (0, 9, FailureKind.UNREACHABLE, False),
        (50, 10, FailureKind.UNREACHABLE, True),
        (0, 50, FailureKind.THROTTLED, False),
        (0, 19, FailureKind.ROW, False),
    ],
)
def test_the_breaker_opens_when_nearly_all_calls_fail(
    good: int,
    bad: int,
    kind: FailureKind,
    is_open: bool,  # noqa: FBT001
) -> None:
    async def main() -> bool:
        health = healthy()
        mixed(health, good, bad, kind)
        return health.open

    assert in_virtual_time(main()) is is_open


def test_failures_older_than_ten_seconds_do_not_count() -> None:
    async def main() -> bool:
        health = healthy()
        mixed(health, 0, 15)
        await asyncio.sleep(11)
        mixed(health, 0, 15)
        return health.open

    assert not in_virtual_time(main())


async def outage(health: CircuitBreaker, workers: int, seconds: float) -> list[float]:
    """Have workers call an endpoint that is gone for *seconds*; returns when they called."""
    calls: list[float] = []

    async def work() -> None:
        while True:
            probing = await health.admit()
            calls.append(now())
            await asyncio.sleep(0.1)
            if now() > seconds:
                health.on_reply(again=False)
            else:
                health.on_failure(failed(FailureKind.UNREACHABLE), again=False)
            if probing:
                health.release_probe()
            if now() > seconds:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return calls


def test_an_outage_of_ten_minutes_costs_few_calls_and_everybody_is_back_at_once() -> None:
    async def main() -> list[float]:
        return await outage(healthy(), 64, 600)

    calls = in_virtual_time(main())
    assert sum(at < 1 for at in calls) <= 64 + 9  # nine may call again before the tenth fails
    assert sum(1 <= at <= 600 for at in calls) <= 60
    assert sum(at > 600 for at in calls) == 64
    assert max(calls) <= 600 + 31


def test_probes_come_every_5_to_30_seconds_one_at_a_time() -> None:
    async def main() -> list[float]:
        return await outage(healthy(), 64, 600)

    probes = [at for at in in_virtual_time(main()) if 1 <= at <= 600]
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    assert 5 <= probes[0] <= 6
    assert all(5 <= gap <= 31 for gap in gaps)


def test_an_outage_of_a_day_is_no_trouble() -> None:
    async def main() -> list[float]:
        return await outage(healthy(10**6), 2, 86_400)

    assert len(in_virtual_time(main())) < 86_400 / 30 + 50


def test_a_prober_that_is_cancelled_leaves_its_turn_to_another() -> None:
    async def main() -> bool:
        health = healthy()
        mixed(health, 0, 20)
        first, second = asyncio.create_task(health.admit()), asyncio.create_task(health.admit())
        await asyncio.sleep(1)
        first.cancel()
        third = asyncio.create_task(health.admit())
        await asyncio.sleep(10)
        second.cancel()
        return await third

    assert in_virtual_time(main())


def test_after_a_probe_that_failed_somebody_else_probes() -> None:
    async def main() -> bool:
        health = healthy()
        mixed(health, 0, 20)
        first, second = asyncio.create_task(health.admit()), asyncio.create_task(health.admit())
        assert await first
        health.on_failure(failed(), again=False)
        health.release_probe()  # and does not come back
        return await asyncio.wait_for(second, 60)

    assert in_virtual_time(main())


def ending(
    kind: FailureKind, times: int, *, status: int | None = None, seconds: float = 0.1
) -> PipelineError | None:
    """What the last of some failures leads to, after a first reply."""

    async def main() -> PipelineError | None:
        health = healthy()
        health.on_reply(again=False)
        error = None
        for _ in range(times):
            await asyncio.sleep(seconds)
            error = health.on_failure(failed(kind, status), again=False)
        return error

    return in_virtual_time(main())


@pytest.mark.parametrize(
    ("kind", "times", "error"),
    [
        (FailureKind.QUOTA, 1, KeyRefusedError),
        (FailureKind.CONFIG, 1, ConfigError),
        (FailureKind.DENIED, 3, KeyRefusedError),
        (FailureKind.UNTRUSTED, 3, ConfigError),
    ],
)
def test_what_concerns_all_rows_ends_the_run_once_it_is_certain(
    kind: FailureKind, times: int, error: type[PipelineError]
) -> None:
    assert times == 1 or ending(kind, times - 1) is None
    found = ending(kind, times)
    assert isinstance(found, error)
    assert "what it said" in str(found)


def test_three_denials_end_the_run_however_slow_they_come() -> None:
    assert isinstance(ending(FailureKind.DENIED, 3, seconds=60), KeyRefusedError)


def test_a_reply_between_denials_clears_them() -> None:
    async def main() -> None:
        health = healthy()
        for _ in range(10):
            assert health.on_failure(failed(FailureKind.DENIED, 401), again=False) is None
            assert health.on_failure(failed(FailureKind.DENIED, 401), again=True) is None
            health.on_reply(again=False)

    in_virtual_time(main())


def test_a_403_of_the_same_row_again_says_nothing_about_the_key_that_works() -> None:
    async def main() -> None:
        health = healthy()
        health.on_reply(again=False)
        for number in range(9):
            assert health.on_failure(failed(FailureKind.DENIED, 403), again=number > 0) is None
        unheard = healthy()
        errors = [
            unheard.on_failure(failed(FailureKind.DENIED, 403), again=number > 0) for number in range(3)
        ]
        assert isinstance(errors[-1], KeyRefusedError)

    in_virtual_time(main())


@pytest.mark.parametrize(("good", "is_fatal"), [(0, True), (1, True), (2, False)])
def test_nearly_all_of_the_first_requests_refused_is_the_configs_fault(good: int, is_fatal: bool) -> None:  # noqa: FBT001
    async def main() -> PipelineError | None:
        health = healthy()
        for _ in range(good):
            health.on_reply(again=False)
        errors = [health.on_failure(failed(FailureKind.ROW), again=False) for _ in range(20 - good)]
        assert errors[:-1] == [None] * (19 - good)
        return errors[-1]

    assert isinstance(in_virtual_time(main()), ConfigError) is is_fatal


def test_an_endpoint_that_is_away_for_longer_than_max_outage_ends_the_run() -> None:
    async def main() -> None:
        health = healthy(600)
        assert health.on_failure(failed(), again=False) is None
        await asyncio.sleep(599)
        assert health.on_failure(failed(), again=False) is None
        await asyncio.sleep(2)
        error = health.on_failure(failed(), again=False)
        assert isinstance(error, ProviderUnavailableError)
        assert "600 s (limits.max_outage)" in str(error)

    in_virtual_time(main())


def test_a_time_in_which_nobody_asked_is_no_outage() -> None:
    async def main() -> None:
        health = healthy(600)
        await asyncio.sleep(1000)
        assert health.on_failure(failed(), again=False) is None
        health.on_reply(again=False)
        await asyncio.sleep(1000)
        assert health.on_failure(failed(), again=False) is None

    in_virtual_time(main())


def test_a_refused_row_shows_that_the_endpoint_is_there() -> None:
    async def main() -> None:
        health = healthy(600)
        for _ in range(10):
            await asyncio.sleep(500)
            assert health.on_failure(failed(), again=False) is None
            assert health.on_failure(failed(FailureKind.ROW), again=False) is None

    in_virtual_time(main())


def test_the_garbled_share_tells_a_sick_endpoint_from_a_sick_row() -> None:
    async def main() -> tuple[float, float]:
        sick, one_row = healthy(), healthy()
        for _ in range(100):
            mixed(sick, 7, 3, FailureKind.GARBLED)
            mixed(one_row, 9, 0)
            one_row.on_failure(failed(FailureKind.GARBLED), again=True)
        return sick.garbled_share, one_row.garbled_share

    sick, one_row = in_virtual_time(main())
    assert sick == pytest.approx(0.3, abs=0.1)
    assert one_row == 0
