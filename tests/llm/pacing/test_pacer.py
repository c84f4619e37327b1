"""A request waits for whatever asks it to: quotas, pauses and pacing; without any, for nothing."""

import asyncio

import pytest

from pipeline.config.models import LimitSettings
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.pacer import Pacer
from pipeline.llm.replies import NO_USAGE, Failure, FailureKind, Reply, Window
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock

REPLY = Reply("{}", "stop", None, None, NO_USAGE, None, None, None, 0)
EMPTY = Window(remaining_requests=0, reset_requests=10)


def pacer(**limits: float) -> tuple[Pacer, Concurrency]:
    clock = virtual_clock()
    concurrency = Concurrency(64, clock)
    return Pacer(LimitSettings.model_validate(limits), concurrency, clock), concurrency


def throttled(**more: float) -> Failure:
    return Failure(FailureKind.THROTTLED, "429: too many", status=429, **more)


async def sent(
    paced: Pacer,
    concurrency: Concurrency,
    outcome: Reply | Failure | None,
    *,
    count: int = 1,
    window: Window | None = None,
    available: bool = True,
) -> None:
    """Send so many requests together, and record what becomes of them."""
    departures = [concurrency.on_sent() for _ in range(count)]
    await asyncio.sleep(1)
    for departure in departures:
        paced.record(departure, outcome, window, available=available)


def test_without_limits_requests_are_admitted_at_once() -> None:
    async def main() -> bool:
        return pacer()[0].try_admit(1e6)

    assert in_virtual_time(main())


def test_a_request_that_one_quota_refuses_takes_nothing_of_the_other() -> None:
    async def main() -> list[bool]:
        paced, _ = pacer(requests_per_minute=60_000, tokens_per_minute=60_000)
        await paced.admit(1)  # leaves a slice of each in hand
        return [paced.try_admit(tokens) for tokens in (1000, 1)]

    assert in_virtual_time(main()) == [False, True]


def test_while_a_window_is_used_up_nothing_is_admitted() -> None:
    async def main() -> tuple[bool, float]:
        paced, concurrency = pacer()
        await sent(paced, concurrency, REPLY, window=EMPTY)
        at_once = paced.try_admit(1)
        await paced.admit(1)
        return at_once, now()

    assert in_virtual_time(main()) == (False, pytest.approx(11))


def test_whoever_waited_for_quota_heeds_a_window_that_was_used_up_meanwhile() -> None:
    async def main() -> list[float]:
        paced, concurrency = pacer(requests_per_minute=60)
        times = []

        async def admitted() -> None:
            await paced.admit(1)
            times.append(now())

        waiting = [asyncio.create_task(admitted()) for _ in range(6)]
        await sent(paced, concurrency, REPLY, window=EMPTY)  # after 1 s
        await asyncio.gather(*waiting)
        return times

    assert not [at for at in in_virtual_time(main()) if 1 < at < 11]


def test_after_a_refusal_requests_are_spread_over_the_time_of_a_reply() -> None:
    async def main() -> tuple[list[bool], list[float]]:
        paced, concurrency = pacer()
        at_once = []
        for outcome in (REPLY, throttled()):
            await sent(paced, concurrency, outcome)
            at_once.append(paced.try_admit(1))
        concurrency.level.value = 4.0
        start, times = now(), []
        for _ in range(3):
            await paced.admit(1)
            times.append(now() - start)
        return at_once, times

    at_once, times = in_virtual_time(main())
    assert at_once == [True, False]
    assert times == pytest.approx([0, 0.2, 0.4], abs=1e-3)


def test_a_throttle_with_a_retry_after_makes_nobody_else_wait() -> None:
    async def main() -> float:
        paced, concurrency = pacer()
        for outcome in (REPLY, throttled(retry_after=600)):
            await sent(paced, concurrency, outcome)
        start = now()
        await paced.admit(1)
        return now() - start

    assert in_virtual_time(main()) < 1


@pytest.mark.parametrize(
    "failure",
    [
        Failure(FailureKind.TRANSIENT, "500", status=500),
        Failure(FailureKind.TRANSIENT, "slow", timed_out=True),
        throttled(),
    ],
    ids=["server error", "timeout", "throttle"],
)
def test_what_may_mean_load_is_learnt_from(failure: Failure) -> None:
    async def main() -> tuple[bool, int]:
        paced, concurrency = pacer()
        await sent(paced, concurrency, failure)
        return concurrency.paces, concurrency.sending

    assert in_virtual_time(main()) == (True, 0)


@pytest.mark.parametrize(
    ("outcome", "available"),
    [
        (Failure(FailureKind.ROW, "400", status=400), True),
        (Failure(FailureKind.GARBLED, "no JSON", status=200), True),
        (Failure(FailureKind.UNREACHABLE, "no connection"), True),
        (Failure(FailureKind.TRANSIENT, "500", status=500), False),
        (None, True),
    ],
    ids=["row", "garbled", "unreachable", "outage", "given up"],
)
def test_what_says_nothing_about_the_load_changes_nothing(
    outcome: Failure | None, *, available: bool
) -> None:
    async def main() -> tuple[bool, int]:
        paced, concurrency = pacer()
        await sent(paced, concurrency, outcome, available=available)
        return concurrency.paces, concurrency.sending

    assert in_virtual_time(main()) == (False, 0)


def test_a_used_up_window_means_that_what_was_in_flight_was_too_much() -> None:
    async def main(count: int) -> bool:
        paced, concurrency = pacer()
        await sent(paced, concurrency, REPLY, count=count, window=EMPTY)
        return concurrency.paces

    assert in_virtual_time(main(8))
    assert not in_virtual_time(main(1))  # less than one cannot be sent


@pytest.mark.parametrize(("seconds", "warnings"), [(29, 0), (31, 1)])
def test_a_long_pause_is_logged_once(caplog: pytest.LogCaptureFixture, seconds: float, warnings: int) -> None:
    async def main() -> None:
        paced, concurrency = pacer()
        window = Window(remaining_requests=0, reset_requests=seconds)
        await sent(paced, concurrency, REPLY, count=4, window=window)

    in_virtual_time(main())
    assert caplog.text.count("nothing is sent for") == warnings


def test_a_storm_with_a_long_told_wait_is_logged_in_the_endpoints_own_words(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        paced, concurrency = pacer()
        await sent(paced, concurrency, throttled(retry_after=45), count=10)
        while not concurrency.level.storm.raging:
            await asyncio.sleep(0.1)
            concurrency.tick()
        await asyncio.sleep(60)
        await sent(paced, concurrency, throttled(retry_after=45))

    in_virtual_time(main())
    assert caplog.text.count("nothing is sent for") == 1
    assert "429: too many" in caplog.text
