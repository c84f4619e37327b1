"""Latencies are counted in buckets, from which percentiles are read."""

import random
from collections import Counter

import pytest

from pipeline.telemetry.latency import bucket_of, latency_facts, middle_of, percentiles


@pytest.mark.parametrize("seconds", [1e-6, 0.001, 0.02, 0.999, 1.0, 1.001, 7.5, 600.0])
def test_the_middle_of_a_bucket_is_within_five_percent_of_what_is_in_it(seconds: float) -> None:
    assert middle_of(bucket_of(seconds)) == pytest.approx(seconds, rel=0.05)


def test_percentiles_are_those_of_the_replies_themselves_but_for_five_percent() -> None:
    chance = random.Random(1)
    seconds = sorted(chance.lognormvariate(-0.5, 0.6) for _ in range(20_000))
    found = percentiles(Counter(map(bucket_of, seconds)))
    assert list(found) == ["p50", "p90", "p95", "p99"]
    for name, value in found.items():
        assert value == pytest.approx(seconds[int(name[1:]) * 200], rel=0.05)


def test_no_reply_has_no_percentiles_and_no_time_at_all_has_a_bucket() -> None:
    assert percentiles({}) == {}
    assert latency_facts({})["replies"] == 0
    assert bucket_of(0.0) == bucket_of(1e-6)
