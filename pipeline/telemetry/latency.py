"""How long replies take: counts in buckets that grow by a factor, and the percentiles that they tell."""

from collections.abc import Mapping
from math import log2
from typing import Any

BUCKETS_PER_DOUBLING = 8
"""A bucket is 9 % wide: what is read from it is at most 4.5 % off."""

SHORTEST = 1e-6

PERCENTILES = (50, 90, 95, 99)


def bucket_of(seconds: float) -> float:
    """Return the number of the bucket of *seconds*, a whole one."""
    return log2(seconds or SHORTEST) * BUCKETS_PER_DOUBLING // 1  # `floor` would take as long again


def middle_of(bucket: float) -> float:
    """Return the seconds in the middle of *bucket*."""
    return float(2 ** ((bucket + 0.5) / BUCKETS_PER_DOUBLING))


def percentiles(counts: Mapping[float, int]) -> dict[str, float]:
    """Return the seconds within which so many in a hundred replies came, as `p50`, ..., given the *counts* by bucket."""
    total, found, seen = sum(counts.values()), {}, 0
    wanted = [(f"p{percent}", percent * total / 100) for percent in PERCENTILES]
    for bucket in sorted(counts):
        seen += counts[bucket]
        while wanted and seen >= wanted[0][1]:
            found[wanted.pop(0)[0]] = round(middle_of(bucket), 4)
    return found


def latency_facts(counts: Mapping[float, int]) -> dict[str, Any]:
    """Return the *counts* by bucket for the report: replies, percentiles, and how many took about so many seconds."""
    return {
        "replies": sum(counts.values()),
        **percentiles(counts),
        "counts": [[round(middle_of(bucket), 6), counts[bucket]] for bucket in sorted(counts)],
    }
