"""Rates are kept to the unit, no request starves, and pauses last as long as they must."""

import asyncio
from bisect import bisect_right
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.llm.pacing.quota import CATCH_UP_SECONDS, Pause, Quota
from tests.llm.virtual_time import in_virtual_time, now, virtual_clock


async def taken(quota: Quota, amounts: list[float], workers: int = 8) -> list[tuple[float, float]]:
    """Have some workers take *amounts* as fast as they may; returns the moments and what was taken."""
    times: list[tuple[float, float]] = []
    left = iter(amounts)

    async def work() -> None:
        for amount in left:
            await quota.take(amount)
            times.append((now(), amount))

    await asyncio.gather(*(work() for _ in range(workers)))
    return times


def most_in_a_second(times: list[tuple[float, float]]) -> float:
    sums = [0.0, *accumulate(amount for _, amount in times)]
    moments = [moment for moment, _ in times]
    return max(
        sums[bisect_right(moments, start + 1 - 1e-9)] - sums[index] for index, start in enumerate(moments)
    )


@pytest.mark.parametrize("per_minute", [60, 90, 600, 6000, 60_000, 600_000])
def test_no_second_sees_more_than_the_rate_and_one_and_almost_all_of_it_is_used(per_minute: int) -> None:
    rate = per_minute / 60
    times = in_virtual_time(taken(Quota(per_minute), [1] * int(max(100, 5 * rate)), workers=64))
    assert most_in_a_second(times) <= rate + 1
    assert (len(times) - 1) / times[-1][0] >= 0.985 * rate


def test_a_rate_that_was_not_used_is_not_saved_up() -> None:
    async def main() -> list[tuple[float, float]]:
        quota = Quota(60_000)
        await taken(quota, [1] * 7)
        await asyncio.sleep(10)
        return await taken(quota, [1] * 3000, workers=64)

    assert most_in_a_second(in_virtual_time(main())) <= 1000 + 1


def test_tokens_keep_their_rate_up_to_the_request_in_hand() -> None:
    rate, amount = 200_000 / 60, 500
    times = in_virtual_time(taken(Quota(200_000), [amount] * 400))
    assert most_in_a_second(times) <= rate * (1 + CATCH_UP_SECONDS) + amount
    assert 400 * amount / times[-1][0] == pytest.approx(rate, rel=0.02)


def test_an_amount_larger_than_a_minutes_worth_passes_in_its_time() -> None:
    times = in_virtual_time(taken(Quota(600), [1000]))
    assert times[0][0] == pytest.approx(100, rel=0.02)


def test_a_large_amount_is_not_starved_by_small_ones() -> None:
    async def main() -> float:
        quota = Quota(600)
        small = asyncio.create_task(taken(quota, [1] * 1000))
        await asyncio.sleep(1)
        start = now()
        await quota.take(20)
        small.cancel()
        return now() - start

    # 20 units take 2 s; those that were in the queue before take another 0.8 s.
    assert in_virtual_time(main()) <= 2 + 0.8 + 0.2


def test_units_are_given_in_the_order_of_asking() -> None:
    async def main() -> list[int]:
        quota, order = Quota(600), []

        async def take(number: int, amount: float) -> None:
            await quota.take(amount)
            order.append(number)

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(take(number, 5 if number % 3 else 0.5))
        return order

    assert in_virtual_time(main()) == list(range(20))


def test_a_wait_that_is_given_up_takes_nothing_and_blocks_nothing() -> None:
    async def main() -> float:
        quota = Quota(60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(quota.take(100), 10)
        start = now()
        await quota.take(12)  # what the other one had waited for is still there
        return now() - start

    assert in_virtual_time(main()) <= 2


@given(st.lists(st.tuples(st.floats(0, 99), st.floats(0, 50)), max_size=5))
def test_a_pause_ends_when_the_last_of_its_reasons_does(extensions: list[tuple[float, float]]) -> None:
    async def main() -> None:
        pause = Pause(virtual_clock())

        async def extend(at: float, seconds: float) -> None:
            await asyncio.sleep(at)
            pause.extend(seconds)

        pause.extend(100)
        async with asyncio.TaskGroup() as group:
            for at, seconds in extensions:
                group.create_task(extend(at, seconds))
            waiting = group.create_task(pause.wait())
        await waiting
        assert now() >= max([100, *(at + seconds for at, seconds in extensions)])

    in_virtual_time(main())


def test_without_a_pause_nothing_waits() -> None:
    async def main() -> float:
        await Pause(virtual_clock()).wait()
        return now()

    assert in_virtual_time(main()) < 1e-6
