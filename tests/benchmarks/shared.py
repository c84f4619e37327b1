"""How exactly several runs use one quota together, against a server that enforces it; one run is killed half-way.

    python -m tests.benchmarks.shared [--rate 24000] [--seconds 40] [--runs 4]

All runs give the same `limits.shared`. The first seconds are left out, in which the runs find out how much the server
bears.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.config.simulate.latency import Fixed
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.settings import RateSettings
from tests.benchmarks.apart import endpoint
from tests.benchmarks.rates import IN_FLIGHT, REFUSED, STARTING_SECONDS, most_in_a_second
from tests.benchmarks.rehearsal import config_file, serve
from tests.faultserver.log import read_log
from tests.faultserver.settings import FaultServerSettings

RECOVERY_SECONDS = 1.0
"""How soon after one run was killed the others use what it leaves."""


@dataclass(frozen=True)
class Seen:
    """What the server saw of the runs.

    Attributes:
        entries: Its log, in order.
        began: When all runs were on their way, on the log's clock.
        killed: When one was killed.
        ended: When the first of the others was told to stop.
        rate: The limit, requests a second.
    """

    entries: Sequence[Entry]
    began: float
    killed: float
    ended: float
    rate: float

    def used(self, start: float, stop: float) -> float:
        """Return which share of the limit was used from *start* to *stop*."""
        taken = sum(start <= each.at < stop and each.status != REFUSED for each in self.entries)
        return taken / (stop - start) / self.rate

    @property
    def before(self) -> float:
        """The share that was used until the run was killed."""
        return self.used(self.began, self.killed)

    @property
    def after(self) -> float:
        """The share that was used from a second after that on."""
        return self.used(self.killed + RECOVERY_SECONDS, self.ended)

    @property
    def refused(self) -> float:
        """The share of all requests that was refused."""
        return sum(each.status == REFUSED for each in self.entries) / len(self.entries)

    @property
    def most(self) -> float:
        """The most requests in any second."""
        return most_in_a_second([each.at for each in self.entries], [1] * len(self.entries))


def watched(runs: int, per_minute: int, seconds: float) -> Seen:
    """Start *runs* runs that share *per_minute* requests, kill one of them half-way, and end the others after *seconds*."""
    with tempfile.TemporaryDirectory() as name:
        folder, log = Path(name), Path(name) / "server.jsonl"
        settings = FaultServerSettings(
            keep_entries=False, count_repeats=False, log_path=log, faults={},
            rates=RateSettings(requests_per_minute=per_minute), latency=Fixed(0.2),
        )  # fmt: skip
        with endpoint(serve, settings) as url:
            started = [_start(folder / f"run{number}", per_minute, seconds, url) for number in range(runs)]
            time.sleep(2 * STARTING_SECONDS)
            began = time.time()
            time.sleep(seconds / 2)
            killed = time.time()
            started[0].kill()
            time.sleep(seconds / 2)
            ended = time.time()
            for each in started:
                each.terminate()
            for each in started:
                each.wait()
        entries = sorted((each for each in read_log(log) if each.text), key=lambda each: each.at)
    return Seen(entries, began, killed, ended, per_minute / 60)


def _start(folder: Path, per_minute: int, seconds: float, url: str) -> "subprocess.Popen[bytes]":
    """Start a run that has enough rows to use all of the quota alone."""
    folder.mkdir()
    rows = int(per_minute / 60 * (seconds + 3 * STARTING_SECONDS))
    pl.DataFrame({"text": [f"{folder.name} row {row}" for row in range(rows)]}).write_parquet(
        folder / "in.parquet"
    )
    limits = {"requests_per_minute": per_minute, "shared": "bench", "max_concurrency": IN_FLIGHT}
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(config_file(folder, limits, url)), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder.parent)},
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=int, default=24_000, help="requests a minute")
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--runs", type=int, default=4)
    chosen = parser.parse_args()
    seen = watched(chosen.runs, chosen.rate, chosen.seconds)
    sys.stdout.write(
        f"{chosen.runs} runs, {chosen.rate:,} requests a minute together: {seen.before:.1%} used; one killed, "
        f"{seen.after:.1%} used from {RECOVERY_SECONDS:g} s after that on; {seen.refused:.2%} of {len(seen.entries):,} "
        f"refused, at most {seen.most:,.0f} in any second\n"
    )


if __name__ == "__main__":
    main()
