"""How well endpoints that refuse are used, in virtual time, against the best fixed number of requests in flight.

    python -m tests.benchmarks.pacing [endpoint ...] [--seeds 5] [--first 20]

An endpoint is named by the first word of its line. The mean and the worst of the seeds are printed: the replies a
second as a share of the best fixed number's; what was refused for a limit or in a storm, of all that was sent; the
seconds until three of them brought 90 % of what can be reached, from the start, the change or the storm's end on; and
the requests that were sent during a storm.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import cache
from math import inf
from typing import NamedTuple

from tests.llm.pacing.simulation import Endpoint, Story, adaptive, fixed

IN_FLIGHT = 64
FIXED_SEEDS = 3


class Case(NamedTuple):
    """An endpoint, how long it is asked, the fixed numbers in flight that it is compared with, and the rows.

    Attributes:
        reachable: Replies a second after a change or a storm; 0 for what the best fixed number brings on the whole.
    """

    endpoint: Endpoint
    seconds: float
    levels: Sequence[int] = (IN_FLIGHT,)
    reachable: float = 0.0
    rows: float = inf


RATE, FLIGHT = (4, 5, 6, 8, 64), (15, 16, 17, 24, 64)

CASES = {
    "a1 noise 1 %": Case(Endpoint(noise=0.01), 60),
    "a5 noise 5 %": Case(Endpoint(noise=0.05), 60),
    "a10 noise 10 %": Case(Endpoint(noise=0.1), 60),
    "b5 noise 5 %, 2 s told": Case(Endpoint(noise=0.05, told=(2, 0, 0)), 60),
    "d 50 a second": Case(Endpoint(rate=50), 120, RATE),
    "d2 50 a second, 1 s told": Case(Endpoint(rate=50, told=(0, 1, 0)), 120, RATE),
    "d3 400 a second": Case(Endpoint(rate=400), 60, (36, 40, 44, 64)),
    "d4 2 a second": Case(Endpoint(rate=2), 120, (1, 64)),
    "e 16 in flight": Case(Endpoint(in_flight=16), 120, FLIGHT),
    "e2 16 in flight, slow refusals": Case(Endpoint(in_flight=16, refusal_seconds=0.1), 120, FLIGHT),
    "f slower beyond 32": Case(Endpoint(bears=32), 60, (24, 32, 40, 64)),
    "g1 rate doubles": Case(Endpoint(rate=50, change=(60, 2)), 120, (5, 10, 12, 64), 100),
    "g2 in flight doubles": Case(Endpoint(in_flight=16, change=(60, 2)), 120, (16, 32, 36, 64), 320),
    "h 50 a second, 5 % noise": Case(Endpoint(rate=50, noise=0.05), 120, RATE),
    "h2 16 in flight, 5 % noise": Case(Endpoint(in_flight=16, noise=0.05), 120, FLIGHT),
    "i storm": Case(Endpoint(storm=(20, 80)), 120, (64,), 640),
    "i2 storm, 5 s told": Case(Endpoint(storm=(20, 80), told=(0, 0, 5)), 120, (64,), 640),
    "i3 storm, slow refusals": Case(Endpoint(storm=(20, 80), refusal_seconds=0.1), 120, (64,), 640),
    "i4 storm from the start": Case(Endpoint(storm=(0, 60)), 120, (64,), 640),
    "k1 rate halves": Case(Endpoint(rate=100, change=(60, 0.5)), 120, (5, 10, 12, 64), 50),
    "k2 in flight halves": Case(Endpoint(in_flight=32, change=(60, 0.5)), 120, (16, 32, 36, 64), 160),
    "l 200 rows, 8 s, 5 % noise": Case(Endpoint(reply_seconds=8, noise=0.05), 400, rows=200),
    "x4 50 a second, 1 % noise": Case(Endpoint(rate=50, noise=0.01), 120, RATE),
    "x5 16 in flight, 0.5 % noise": Case(Endpoint(in_flight=16, noise=0.005), 120, FLIGHT),
}


def rate(case: Case, story: Story) -> float:
    """Return the replies a second, until the last row if there is one."""
    return len(story.replied) / (case.seconds if case.rows == inf else story.replied[-1])


@cache
def best_fixed(case: Case) -> tuple[float, int]:
    """Return the most replies a second with a fixed number in flight, and that number."""

    def mean(level: int) -> float:
        stories = (fixed(case.endpoint, case.seconds, seed, level, case.rows) for seed in range(FIXED_SEEDS))
        return sum(rate(case, story) for story in stories) / FIXED_SEEDS

    return max((mean(level), level) for level in case.levels)


def soon(case: Case, story: Story, best: float) -> float:
    """Return the seconds to 90 % of what can be reached."""
    endpoint = case.endpoint
    start = next((at for at in (endpoint.storm[1], endpoint.change[0]) if at < inf), 0.0)
    return story.seconds_until(0.9 * (case.reachable or best), start)


def line(name: str, case: Case, seeds: Sequence[int]) -> str:
    """Ask the endpoint once for each seed, and tell what came of it."""
    best, level = best_fixed(case)
    stories = [adaptive(case.endpoint, case.seconds, seed, IN_FLIGHT, case.rows) for seed in seeds]
    shares = [rate(case, story) / best for story in stories]
    refused = [story.refused() for story in stories]
    slowest = max(soon(case, story, best) for story in stories) if case.rows == inf else inf
    in_storm = max(story.sent_in(*case.endpoint.storm) for story in stories)
    return (
        f"{name:32} {best:7.1f} ({level:2}) {sum(shares) / len(shares):6.2f} ({min(shares):4.2f})"
        f" {sum(refused) / len(refused):8.2%} ({max(refused):6.2%})"
        f" {f'{slowest:.0f}' if slowest < inf else '-':>5} {in_storm or '-':>6}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("endpoints", nargs="*", help="their first words")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=20)
    chosen = parser.parse_args()
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    sys.stdout.write(
        f"{'endpoint':32} {'best fixed':>12} {'x (worst)':>13} {'refused (worst)':>17}  90 %  storm\n"
    )
    for name, case in CASES.items():
        if not chosen.endpoints or name.split()[0] in chosen.endpoints:
            sys.stdout.write(line(name, case, seeds) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
