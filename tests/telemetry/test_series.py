"""Samples of a run's progress are few, whatever the length of the run, and span all of it."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import pytest

from pipeline.telemetry.progress import Progress
from pipeline.telemetry.series import MOST_POINTS, Point, Series


def test_samples_are_few_and_span_the_whole_run_however_long_it_is() -> None:
    series, done = Series(first_seconds=1), 0
    while done < 100_000:
        series.add(Progress(rows=100_000, done=done))
        done += int(series.every)
    found = series.until(Progress(rows=100_000, done=100_000))
    samples = found["done"]
    assert MOST_POINTS // 4 < len(samples) <= MOST_POINTS
    assert (samples[0], samples[-1]) == (0, 100_000)
    steps = {after - before for before, after in pairwise(samples[:-1])}
    assert max(steps) <= 2 * min(steps), "the resolution is the same all along"


def test_every_field_has_as_many_samples_and_the_last_is_of_now() -> None:
    series = Series()
    series.add(Progress())
    now = Progress(done=3, failed=1, in_flight=2, requests=5, throttled=1, tokens=40, cost_usd=0.5)
    found = series.until(now)
    assert set(found) == set(Point._fields)
    assert {len(values) for values in found.values()} == {2}
    assert {name: values[-1] for name, values in found.items() if name != "seconds"} == {
        "done": 3, "failed": 1, "in_flight": 2, "requests": 5, "throttled": 1, "tokens": 40, "cost_usd": 0.5,
    }  # fmt: skip


async def test_a_run_is_sampled_while_it_lasts() -> None:
    series, progress = Series(first_seconds=0.001), Progress()
    async with series.watching(lambda: progress):
        await asyncio.sleep(0.05)
        progress = replace(progress, done=7)
        await asyncio.sleep(0.05)
    done = series.until(progress)["done"]
    assert {0, 7} == set(done)
    assert len(done) > 3


async def test_a_run_that_fails_is_not_sampled_any_longer() -> None:
    series, before = Series(first_seconds=0.001), asyncio.all_tasks()
    with pytest.raises(ValueError, match="wrong"):
        async with series.watching(Progress):
            raise ValueError("wrong")
    assert asyncio.all_tasks() == before
