"""CPU a row, rows a second and peak memory of `pipeline run`, as ratios to a bare loop's on the same work.

    python -m tests.benchmarks.speed [--rows 50000] [--pairs 5]

Both ask a server in another process that answers at once; they run in turn, and the median of the pairs' ratios is
told: the machine's speed drifts, and whatever slows one of a pair slows the other.
"""

import argparse
import compileall
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import inf
from pathlib import Path
from statistics import median
from typing import IO

import polars as pl

from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import serve

BARE = Path(__file__).with_name("bare.py")
TABLE = "in.parquet"
Watch = Callable[[int, float], None]
WORDS = "a table of packages, each with a name and a summary of what it is good for, and one more word: "


@dataclass(frozen=True, slots=True)
class Use:
    """What a process used: CPU microseconds a row, rows a second, peak RSS in MB."""

    cpu: float
    speed: float
    peak: float

    def __str__(self) -> str:
        return f"{self.cpu:6.1f} us CPU a row, {self.speed:7,.0f} rows/s, {self.peak:4.0f} MB"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a process used in all: CPU seconds, seconds, peak RSS in MB."""

    cpu: float
    seconds: float
    peak: float

    def over(self, rows: int) -> Use:
        """Return it as what each of *rows* rows took."""
        return Use(self.cpu / rows * 1e6, rows / self.seconds, self.peak)


def make_table(folder: Path, rows: int) -> None:
    """Write the input."""
    texts = [f"row {row} of {WORDS}{row * 7919 % 10007}" for row in range(rows)]
    pl.DataFrame({"id": range(rows), "text": texts}).write_parquet(folder / TABLE, row_group_size=50_000)


@cache
def knows_report(python: str) -> bool:
    """Return whether the checkout of *python* draws reports; one from before must not find the key in its config."""
    told = subprocess.run([python, "-m", "pipeline", "schema"], capture_output=True, text=True, check=True)
    return "draws its report" in told.stdout


def write_config(folder: Path, base_url: str, *, knows_report: bool = True) -> Path:
    """Write the job's config: all safety on, as by default, and no report, which is another process."""
    path = folder / "job.yaml"
    settings = {
        "input": {"path": TABLE},
        "task": {"instructions": "Choose.", "text": "{text}", "labels": ["games", "sound", "mail"]},
        "model": {"provider": "openai-compatible", "name": "m", "base_url": base_url},
        "limits": {"max_concurrency": 256},
        "output": {"path": "out.parquet", **({"report": False} if knows_report else {})},
        "state": {"dir": "state"},
    }
    path.write_text(json.dumps(settings))
    return path


def spend(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    limit_seconds: float = inf,
    watch: Watch | None = None,
) -> Spent:
    """Run *command* and return what it used; what it prints goes to *output*, its errors too, where there is one.

    *watch* is called every now and then, with the process's id and the seconds that it has run.
    Raises subprocess.CalledProcessError when it fails, subprocess.TimeoutExpired when it takes too long.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=output or subprocess.DEVNULL, stderr=output and subprocess.STDOUT
    )
    status, peak = Path(f"/proc/{process.pid}/status"), 0
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        # Not what `wait4` tells: that counts what this process had when it forked.
        with suppress(IndexError):  # a process that is ending has no memory any more
            peak = int(status.read_text().partition("VmHWM:")[2].split()[0])
        elapsed = time.monotonic() - started
        if watch:
            watch(process.pid, elapsed)
        if elapsed > limit_seconds:
            process.kill()
            process.wait()
            raise subprocess.TimeoutExpired(command, limit_seconds)
        time.sleep(0.02)
    _, code, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Spent(used.ru_utime + used.ru_stime, seconds, peak / 1024)


def use(command: Sequence[str], rows: int) -> Use:
    """Run Python with *command* and return what each of *rows* rows took."""
    return spend([sys.executable, *command]).over(rows)


def ours(base_url: str, rows: int, table: Path, watch: Watch | None = None) -> Spent:
    """Run `pipeline run` on *table*, from nothing to the published output."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / TABLE).symlink_to(table)
        command = [sys.executable, "-m", "pipeline", "run", str(write_config(folder, base_url)), "--quiet"]
        spent = spend(command, watch=watch)
        assert pl.scan_parquet(folder / "out.parquet").select(pl.len()).collect().item() == rows
        return spent


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=5)
    chosen = parser.parse_args()
    pairs = []
    # As an installation has it; where Python may write none, each run would compile the package anew: half a second.
    compileall.compile_dir(Path(__file__).parents[2] / "pipeline", quiet=1)
    with tempfile.TemporaryDirectory() as name, endpoint(serve) as base_url:
        folder = Path(name)
        make_table(folder, chosen.rows)
        for _ in range(chosen.pairs):
            bare = use([str(BARE), str(folder / TABLE), base_url], chosen.rows)
            pairs.append((bare, ours(base_url, chosen.rows, folder / TABLE).over(chosen.rows)))
            for what, found in zip(("bare", "ours"), pairs[-1], strict=True):
                sys.stdout.write(f"{what}: {found}\n")
            sys.stdout.flush()
    for what in ("cpu", "speed", "peak"):
        ratios = sorted(getattr(us, what) / getattr(them, what) for them, us in pairs)
        sys.stdout.write(f"{what}: {median(ratios):.2f} x ({ratios[0]:.2f} to {ratios[-1]:.2f})\n")


if __name__ == "__main__":
    main()
