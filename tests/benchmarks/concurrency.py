"""How soon and how well the best number of requests in flight is found, by endpoints that tell nothing about it.

    python -m tests.benchmarks.concurrency [case ...]

Each case runs against a simulator in another process. The best rate that any fixed number in flight reaches is known:
that many at a time by the time that a reply takes, or the rate beyond which requests are refused.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import exp
from typing import Any

from pipeline.config.simulate.latency import Lognormal
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.settings import RateSettings
from tests.benchmarks.rehearsal import rehearse

MEDIAN_SECONDS, SPREAD = 0.5, 0.3
SECONDS = MEDIAN_SECONDS * exp(SPREAD**2 / 2)
"""The mean of a log-normal distribution."""

SETTLING = 15.0
HALF, ALL = 45.0, 90.0
IN_FLIGHT = 256
REFUSED = 429


@dataclass(frozen=True)
class Case:
    """An endpoint: what it does, how many replies a second it gives at best, and what changes half-way."""

    what: str
    best: float
    settings: dict[str, Any] = field(default_factory=dict)
    best_later: float | None = None


CASES = {
    "latency": Case("takes longer beyond 32 in flight", 32 / SECONDS, {"capacity": 32}),
    "refusals": Case(
        "refuses beyond 6,000 a minute, tells no rate",
        100,
        {"rates": RateSettings(requests_per_minute=6000, retry_after="none"), "rate_headers": False},
    ),
    "doubling": Case(
        "takes longer beyond 32 in flight, half-way beyond 64",
        32 / SECONDS,
        {"capacity": 32, "capacity_changes": ((HALF, 64),)},
        64 / SECONDS,
    ),
}


def rate(entries: Sequence[Entry], start: float, stop: float) -> float:
    """Return the replies a second from *start* to *stop*, in seconds since the first request."""
    begun = entries[0].at
    return sum(e.billed and start <= e.at + e.latency_seconds - begun < stop for e in entries) / (
        stop - start
    )


def measure(case: Case) -> str:
    """Run *case* and tell what was found."""
    rows = int(2 * max(case.best, case.best_later or 0) * ALL)
    entries = rehearse(
        [f"row {row}" for row in range(rows)],
        {"max_concurrency": IN_FLIGHT},
        seconds=ALL,
        latency=Lognormal(MEDIAN_SECONDS, SPREAD),
        **case.settings,
    )
    last = entries[-1].at - entries[0].at
    found = [f"{rate(entries, SETTLING, HALF) / case.best:.0%} of the best rate from {SETTLING:.0f} s on"]
    if case.best_later:
        later = rate(entries, HALF + SETTLING, last - 1)
        found.append(
            f"{later / case.best_later:.0%} of the later one from {SETTLING:.0f} s after the change on"
        )
    is_final = [e for e in entries if e.at - entries[0].at >= SETTLING]
    refused = sum(e.status == REFUSED for e in is_final)
    return f"{case.what}: {', '.join(found)}; {refused / len(is_final):.2%} refused"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    for name in parser.parse_args().cases or CASES:
        sys.stdout.write(measure(CASES[name]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
