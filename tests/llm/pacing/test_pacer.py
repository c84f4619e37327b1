"""A request waits for whatever asks it to: quotas, pauses and pacing; without any, for nothing."""

import asyncio

import pytest

from pipeline.config.models import LimitSettings
from pipeline.llm.pacing.concurrency import Concurrency
from pipeline.llm.pacing.pacer import Pacer
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


def pacer(**limits: float) -> tuple[Pacer, Concurrency]:
    clock = virtual_clock()
    concurrency = Concurrency(64, clock)
    return Pacer(LimitSettings.model_validate(limits), concurrency, clock), concurrency


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


def test_during_a_pause_nothing_is_admitted() -> None:
    async def main() -> tuple[bool, float]:
        paced, _ = pacer()
        paced.pause(10, "it said so")
        at_once = paced.try_admit(1)
        await paced.admit(1)
        return at_once, now()

    assert in_virtual_time(main()) == (False, pytest.approx(10))


def test_after_a_refusal_requests_are_spread_over_the_time_of_a_reply() -> None:
    async def main() -> tuple[bool, list[float]]:
        paced, concurrency = pacer()
        for congested in (False, True):
            departure = concurrency.on_sent()
            await asyncio.sleep(1)
            concurrency.on_done(departure, congested=congested, success=not congested)
        start, times = now(), []
        for _ in range(3):
            await paced.admit(1)
            times.append(now() - start)
        return paced.try_admit(1), times

    at_once, times = in_virtual_time(main())
    assert not at_once
    interval = Concurrency.SPREAD * 1 / (2 * Concurrency.DECREASE)  # a reply takes 1 s
    assert times == pytest.approx([0, interval, 2 * interval], abs=1e-3)


@pytest.mark.parametrize(("seconds", "warnings"), [(29, 0), (31, 1)])
def test_a_long_pause_is_logged_once(caplog: pytest.LogCaptureFixture, seconds: float, warnings: int) -> None:
    async def main() -> None:
        paced, _ = pacer()
        paced.pause(seconds, "it said so")
        paced.pause(seconds, "it said so")

    in_virtual_time(main())
    assert caplog.text.count("nothing is sent for") == warnings
