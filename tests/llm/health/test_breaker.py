"""When the endpoint counts as unavailable, how it is probed, and what must end the run."""

import asyncio
from itertools import pairwise

import pytest

from pipeline.errors import ConfigError, KeyRefusedError, PipelineError, ProviderUnavailableError
from pipeline.llm.health.breaker import CircuitBreaker
from pipeline.llm.replies import Failure, FailureKind
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


def failed(kind: FailureKind = FailureKind.TRANSIENT, status: int | None = None) -> Failure:
    return Failure(kind, "what it said", status)


def closed(max_outage: float = 1800) -> CircuitBreaker:
    return CircuitBreaker(virtual_clock(), max_outage)


def record(
    breaker: CircuitBreaker, replies: int, failures: int, kind: FailureKind = FailureKind.TRANSIENT
) -> None:
    for _ in range(replies):
        breaker.on_reply(suspect=False)
    for _ in range(failures):
        assert breaker.on_failure(failed(kind), suspect=False) is None


@pytest.mark.parametrize(
    ("replies", "failures", "kind", "is_open"),
    [
        (0, 19, FailureKind.TRANSIENT, False),
        (0, 20, FailureKind.TRANSIENT, True),
        (2, 18, FailureKind.TRANSIENT, True),
        (3, 17, FailureKind.TRANSIENT, False),
        (70, 30, FailureKind.TRANSIENT, False),
        (1, 20, FailureKind.GARBLED, True),
        (0, 19, FailureKind.GARBLED, False),
        (0, 9, FailureKind.UNREACHABLE, False),
        (50, 10, FailureKind.UNREACHABLE, True),
        (0, 50, FailureKind.THROTTLED, False),
        (0, 19, FailureKind.ROW, False),
    ],
)
def test_the_breaker_opens_when_nearly_all_calls_fail(
    replies: int,
    failures: int,
    kind: FailureKind,
    is_open: bool,  # noqa: FBT001
) -> None:
    async def main() -> bool:
        breaker = closed()
        record(breaker, replies, failures, kind)
        return breaker.open

    assert in_virtual_time(main()) is is_open


def test_failures_older_than_ten_seconds_do_not_count() -> None:
    async def main() -> bool:
        breaker = closed()
        record(breaker, 0, 15)
        await asyncio.sleep(11)
        record(breaker, 0, 15)
        return breaker.open

    assert not in_virtual_time(main())


async def outage(breaker: CircuitBreaker, workers: int, seconds: float) -> list[float]:
    """Have workers call an endpoint that is unavailable for *seconds*; returns when they called."""
    calls: list[float] = []

    async def work() -> None:
        while True:
            probing = await breaker.gate.admit()
            calls.append(now())
            await asyncio.sleep(0.1)
            if now() > seconds:
                breaker.on_reply(suspect=False)
            else:
                breaker.on_failure(failed(FailureKind.UNREACHABLE), suspect=False)
            if probing:
                breaker.gate.release_probe()
            if now() > seconds:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())
    return calls


def test_an_outage_of_ten_minutes_costs_few_calls_and_all_workers_are_back_at_once() -> None:
    async def main() -> list[float]:
        return await outage(closed(), 64, 600)

    calls = in_virtual_time(main())
    assert sum(at < 1 for at in calls) <= 64 + 9  # nine may call again before the tenth fails
    assert sum(1 <= at <= 600 for at in calls) <= 60
    assert sum(at > 600 for at in calls) == 64
    assert max(calls) <= 600 + 31


def test_probes_come_every_5_to_30_seconds_one_at_a_time() -> None:
    async def main() -> list[float]:
        return await outage(closed(), 64, 600)

    probes = [at for at in in_virtual_time(main()) if 1 <= at <= 600]
    gaps = [later - earlier for earlier, later in pairwise(probes)]
    assert 5 <= probes[0] <= 6
    assert all(5 <= gap <= 31 for gap in gaps)


def test_an_outage_of_a_day_is_no_trouble() -> None:
    async def main() -> list[float]:
        return await outage(closed(10**6), 2, 86_400)

    assert len(in_virtual_time(main())) < 86_400 / 30 + 50


def test_a_probe_that_is_cancelled_is_left_to_another_caller() -> None:
    async def main() -> bool:
        breaker = closed()
        record(breaker, 0, 20)
        first, second = asyncio.create_task(breaker.gate.admit()), asyncio.create_task(breaker.gate.admit())
        await asyncio.sleep(1)
        first.cancel()
        third = asyncio.create_task(breaker.gate.admit())
        await asyncio.sleep(10)
        second.cancel()
        return await third

    assert in_virtual_time(main())


def test_after_a_probe_that_failed_another_caller_probes() -> None:
    async def main() -> bool:
        breaker = closed()
        record(breaker, 0, 20)
        first, second = asyncio.create_task(breaker.gate.admit()), asyncio.create_task(breaker.gate.admit())
        assert await first
        breaker.on_failure(failed(), suspect=False)
        breaker.gate.release_probe()  # and does not come back
        return await asyncio.wait_for(second, 60)

    assert in_virtual_time(main())


def ending(
    kind: FailureKind, times: int, *, status: int | None = None, replied: bool = False
) -> PipelineError | None:
    """What the last of some failures leads to."""

    async def main() -> PipelineError | None:
        breaker = closed()
        if replied:
            breaker.on_reply(suspect=False)
        error = None
        for _ in range(times):
            error = breaker.on_failure(failed(kind, status), suspect=False)
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
def test_before_the_first_reply_what_concerns_all_rows_ends_the_run_at_once_or_after_three_refusals(
    kind: FailureKind, times: int, error: type[PipelineError]
) -> None:
    assert times == 1 or ending(kind, times - 1) is None
    found = ending(kind, times)
    assert isinstance(found, error)
    assert "what it said" in str(found)
    assert ending(kind, 100, replied=True) is None  # then a control decides


def test_a_refusal_persists_once_nothing_else_has_come_back_for_twenty_seconds() -> None:
    async def main() -> list[bool]:
        breaker, seen = closed(), []
        for replied in (True, False):
            breaker.on_reply(suspect=False)
            breaker.on_failure(failed(FailureKind.DENIED, 401), suspect=False)
            await asyncio.sleep(15)
            if replied:
                breaker.on_reply(suspect=False)
            breaker.on_failure(failed(FailureKind.ROW, 422), suspect=False)
            await asyncio.sleep(10)
            seen.append(breaker.refusal_persists)
        return seen

    assert in_virtual_time(main()) == [False, True]


@pytest.mark.parametrize("kind", [FailureKind.TRANSIENT, FailureKind.THROTTLED])
def test_a_time_in_which_few_calls_failed_as_often_as_before_is_no_outage(kind: FailureKind) -> None:
    async def main() -> None:
        breaker = closed()
        for number in range(60):
            breaker.on_failure(failed(kind), suspect=False)
            breaker.on_failure(failed(kind), suspect=False)
            if number < 50:
                breaker.on_reply(suspect=False)
        for _ in range(9):
            await asyncio.sleep(600)
            assert breaker.on_failure(failed(kind), suspect=False) is None
        error = None
        for _ in range(6):
            error = error or breaker.on_failure(failed(kind), suspect=False)
        assert isinstance(error, ProviderUnavailableError)

    in_virtual_time(main())


def test_a_reply_between_denials_clears_them() -> None:
    async def main() -> None:
        breaker = closed()
        for _ in range(10):
            assert breaker.on_failure(failed(FailureKind.DENIED, 401), suspect=False) is None
            assert breaker.on_failure(failed(FailureKind.DENIED, 401), suspect=True) is None
            breaker.on_reply(suspect=False)

    in_virtual_time(main())


def test_a_403_of_the_same_row_again_says_nothing_about_the_key_that_works() -> None:
    async def main() -> None:
        breaker = closed()
        breaker.on_reply(suspect=False)
        for number in range(9):
            assert breaker.on_failure(failed(FailureKind.DENIED, 403), suspect=number > 0) is None
        never_replied = closed()
        errors = [
            never_replied.on_failure(failed(FailureKind.DENIED, 403), suspect=number > 0)
            for number in range(3)
        ]
        assert isinstance(errors[-1], KeyRefusedError)

    in_virtual_time(main())


@pytest.mark.parametrize(
    ("kind", "times"), [(FailureKind.QUOTA, 1), (FailureKind.CONFIG, 1), (FailureKind.DENIED, 3)]
)
def test_before_the_first_reply_no_money_and_no_model_need_no_confirmation(
    kind: FailureKind, times: int
) -> None:
    async def main() -> list[bool]:
        breaker = closed()
        return [breaker.on_failure(failed(kind), suspect=False) is not None for _ in range(times)]

    assert in_virtual_time(main()) == [False] * (times - 1) + [True]


@pytest.mark.parametrize("kind", [FailureKind.QUOTA, FailureKind.CONFIG])
def test_after_a_reply_one_page_of_a_gateway_does_not_end_the_run(kind: FailureKind) -> None:
    async def main() -> None:
        breaker = closed()
        for _ in range(10):
            breaker.on_reply(suspect=False)
            for _ in range(2):
                assert breaker.on_failure(failed(kind), suspect=False) is None

    in_virtual_time(main())


def endings(*kinds: FailureKind) -> list[PipelineError | None]:
    """What each of some failures leads to, before any reply."""

    async def main() -> list[PipelineError | None]:
        breaker = closed()
        return [breaker.on_failure(failed(kind, 200), suspect=False) for kind in kinds]

    return in_virtual_time(main())


def test_whoever_garbles_nearly_all_of_the_first_replies_is_no_model_and_no_outage() -> None:
    found = endings(*[FailureKind.GARBLED] * 10, FailureKind.TRANSIENT, *[FailureKind.GARBLED] * 9)
    assert found[:-1] == [None] * 19
    assert isinstance(found[-1], ConfigError)
    assert "what it said" in str(found[-1])
    assert "model.base_url" in str(found[-1])


def test_a_gateway_that_mostly_answers_502_is_away_though_it_garbles_some_replies() -> None:
    mixed = [FailureKind.GARBLED, FailureKind.TRANSIENT, FailureKind.TRANSIENT]
    assert endings(*mixed * 20) == [None] * 60


def test_rows_that_are_refused_are_not_the_endpoints_failures() -> None:
    assert endings(*[FailureKind.ROW] * 100) == [None] * 100


def test_an_outage_longer_than_max_outage_ends_the_run() -> None:
    async def main() -> None:
        breaker = closed(600)
        assert breaker.on_failure(failed(), suspect=False) is None
        await asyncio.sleep(599)
        assert breaker.on_failure(failed(), suspect=False) is None
        await asyncio.sleep(2)
        error = breaker.on_failure(failed(), suspect=False)
        assert isinstance(error, ProviderUnavailableError)
        assert "600 s (limits.max_outage)" in str(error)

    in_virtual_time(main())


def test_a_time_without_calls_is_no_outage() -> None:
    async def main() -> None:
        breaker = closed(600)
        await asyncio.sleep(1000)
        assert breaker.on_failure(failed(), suspect=False) is None
        breaker.on_reply(suspect=False)
        await asyncio.sleep(1000)
        assert breaker.on_failure(failed(), suspect=False) is None

    in_virtual_time(main())


def test_a_refused_row_shows_that_the_endpoint_is_up() -> None:
    async def main() -> None:
        breaker = closed(600)
        for _ in range(10):
            await asyncio.sleep(500)
            assert breaker.on_failure(failed(), suspect=False) is None
            assert breaker.on_failure(failed(FailureKind.ROW), suspect=False) is None

    in_virtual_time(main())


def test_the_garbled_share_distinguishes_an_endpoint_that_garbles_from_a_row_that_is_garbled() -> None:
    async def main() -> tuple[float, float]:
        garbling, one_row = closed(), closed()
        for _ in range(100):
            record(garbling, 7, 3, FailureKind.GARBLED)
            record(one_row, 9, 0)
            one_row.on_failure(failed(FailureKind.GARBLED), suspect=True)
        return garbling.garbled_share, one_row.garbled_share

    garbling, one_row = in_virtual_time(main())
    assert garbling == pytest.approx(0.3, abs=0.1)
    assert one_row == 0


def test_long_failures_of_a_few_rows_are_unclear_until_there_is_a_reply() -> None:
    async def main() -> list[bool]:
        breaker, found = closed(600), []
        for wait in (0, 59, 2):
            await asyncio.sleep(wait)
            breaker.on_failure(failed(), suspect=False)
            found.append(breaker.unclear)
        breaker.on_reply(suspect=False)
        return [*found, breaker.unclear]

    assert in_virtual_time(main()) == [False, False, True, False]
