"""How exactly limits.requests_per_minute and limits.tokens_per_minute are used, against a server that enforces them.

    python -m tests.benchmarks.rates [--seconds 60] [requests ...]

The server takes a second's worth at once, answers within 0.2 s, and refuses what is more with 429. The first seconds
are left out, in which the run finds out how much the server bears.
"""

import argparse
import random
import sys
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from pipeline.config.simulate.latency import Fixed
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.settings import RateSettings
from tests.benchmarks.rehearsal import rehearse

RATES = (60, 600, 6_000, 60_000)
TOKENS_PER_MINUTE = 2_000_000
SMALLEST, LARGEST = 50, 8_000
STARTING_SECONDS = 5.0
LATENCY = Fixed(0.2)
REFUSED = 429
IN_FLIGHT = 512


def most_in_a_second(times: Sequence[float], amounts: Sequence[float]) -> float:
    """Return the largest sum of *amounts* in any second."""
    sums = [0.0, *accumulate(amounts)]
    return max(sums[bisect_right(times, start + 1)] - sums[index] for index, start in enumerate(times))


def steady(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries after the start, and not those of the last second, in which rows run out."""
    start, stop = entries[0].at + STARTING_SECONDS, entries[-1].at - 1
    return [entry for entry in entries if start <= entry.at < stop]


def requests(rate: int, seconds: float) -> str:
    """Keep *rate* requests a minute for about so many seconds."""
    rows = int(rate / 60 * seconds)
    entries = rehearse(
        [f"row {row}" for row in range(rows)],
        {"requests_per_minute": rate, "max_concurrency": IN_FLIGHT},
        rates=RateSettings(requests_per_minute=rate),
        latency=LATENCY,
    )
    found = steady(entries)
    used = (len(found) - 1) / (found[-1].at - found[0].at) / (rate / 60)
    refused = sum(entry.status == REFUSED for entry in entries)
    most = most_in_a_second([entry.at for entry in entries], [1] * len(entries))
    return (
        f"{rate:>7,} requests a minute: {used:6.1%} used, {refused:,} of {len(entries):,} refused, "
        f"at most {most:,.0f} in any second ({rate / 60:,.0f} + 1 allowed)"
    )


def tokens(seconds: float) -> str:
    """Keep the tokens a minute with prompts of very different sizes, in random order."""
    dice = random.Random(1)
    sizes: list[int] = []
    while sum(sizes) < TOKENS_PER_MINUTE / 60 * seconds:
        sizes.append(int(SMALLEST * (LARGEST / SMALLEST) ** dice.random()))
    texts = [f"{row} " + "word" * size for row, size in enumerate(sizes)]
    entries = rehearse(
        texts,
        {"tokens_per_minute": TOKENS_PER_MINUTE, "max_concurrency": IN_FLIGHT},
        rates=RateSettings(tokens_per_minute=TOKENS_PER_MINUTE),
        latency=LATENCY,
    )
    found = [entry for entry in steady(entries) if entry.billed]
    used = sum(entry.prompt_tokens for entry in found[:-1]) / (found[-1].at - found[0].at)
    refused = sum(entry.status == REFUSED for entry in entries)
    return (
        f"{TOKENS_PER_MINUTE:,} tokens a minute, prompts of {SMALLEST} to {LARGEST:,}: "
        f"{used / (TOKENS_PER_MINUTE / 60):6.1%} used, {refused:,} of {len(entries):,} refused; {_turns(entries, texts)}"
    )


def _turns(entries: Sequence[Entry], texts: Sequence[str]) -> str:
    """Tell how far from the order of the rows the largest prompts were asked: whoever starves comes late."""
    place = {text: row for row, text in enumerate(texts)}
    first: dict[str, int] = {}
    for entry in entries:
        first.setdefault(entry.text, len(first))
    large = [text for text in first if len(text) > len("word") * LARGEST / 2]
    late = max(first[text] - place[text] for text in large)
    return f"the {len(large)} prompts of over {LARGEST // 2:,} were asked at most {late} places later than they stand"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rates", nargs="*", type=int, default=RATES, help="requests a minute")
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    for rate in chosen.rates:
        sys.stdout.write(requests(rate, chosen.seconds) + "\n")
        sys.stdout.flush()
    sys.stdout.write(tokens(chosen.seconds) + "\n")


if __name__ == "__main__":
    main()
