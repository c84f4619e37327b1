"""How long a killed run of 10 million rows takes until it asks again, and what that costs in memory.

python -m tests.benchmarks.recovery [--rows N] [--keep FOLDER] [CASE ...]

Each case gets a copy of the state that `killed` makes; without names all are measured:

    warm      the files are in the page cache; goes on to the published output, which is checked, and runs once more
    cold      they are not (needs root)
    no-parts  without parts, so that every row is looked up in the ledger
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tests.benchmarks.apart import endpoint
from tests.benchmarks.killed import MISSING, SERVER_LOG, build_once, label_of, renew, write_config
from tests.faultserver.log import read_log
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings


def serve(pipe: Connection, log: Path) -> None:
    """Answer at once until told to stop or the other end of *pipe* closes."""

    async def until_told() -> None:
        async with FaultServer(
            FaultServerSettings(keep_entries=False, log_path=log), label_for=label_of
        ) as server:
            pipe.send(server.base_url)
            await asyncio.to_thread(pipe.poll, None)

    asyncio.run(until_told())


@dataclass(frozen=True, slots=True)
class Start:
    """How a process began its work: seconds to its first chat request; CPU seconds and peak RSS in MB until then."""

    seconds: float
    cpu_seconds: float
    peak_mb: float


class Execution:
    """One `pipeline run` of the job in *folder*."""

    def __init__(self, folder: Path, base_url: str) -> None:
        config = write_config(folder, base_url)
        self._log = folder / SERVER_LOG
        self.began, started = time.time(), time.monotonic()
        self._started = started
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(config), "--quiet"], stdout=subprocess.PIPE
        )

    def first_request(self) -> Start:
        """Wait for the first chat request."""
        while not any(entry.text for entry in read_log(self._log)):
            if self.process.poll() is not None:
                raise SystemExit(f"the run ended before its first request, status {self.process.returncode}")
            time.sleep(0.01)
        used, peak = self._cpu_seconds(), self._peak_mb()
        arrived = min(entry.at for entry in read_log(self._log) if entry.text)
        return Start(arrived - self.began, used, peak)

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()

    def finish(self) -> tuple[dict[str, Any], float, float]:
        """Wait for the end; returns the JSON line, seconds since the start, peak RSS in MB."""
        peak = 0.0
        while self.process.poll() is None:
            # Not what `wait4` tells: that counts what this process had when it forked.
            with suppress(StopIteration):  # a process that is ending has no memory any more
                peak = self._peak_mb()
            time.sleep(0.01)
        seconds = time.monotonic() - self._started
        said, _ = self.process.communicate()
        if self.process.returncode:
            raise SystemExit(f"the run failed with status {self.process.returncode}")
        return json.loads(said.splitlines()[-1]), seconds, peak

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def check_output(folder: Path, rows: int) -> None:
    """Make sure that the output holds every row once, in order, with its right label."""
    row = 0
    for batch in pq.ParquetFile(folder / "out.parquet").iter_batches(columns=["id", "text", "label"]):
        ids, texts, labels = (batch.column(n).to_pylist() for n in range(3))
        assert ids == list(range(row, row + len(ids))), f"row {row}: not in order"
        assert labels == list(map(label_of, texts)), f"row {row}: a wrong label"
        row += len(ids)
    assert row == rows, f"{row} rows"


def asked_rows(folder: Path) -> int:
    """Return how many chat requests there were; each must be for another text."""
    texts = [entry.text for entry in read_log(folder / SERVER_LOG) if entry.text]
    assert len(set(texts)) == len(texts), "a row was asked about twice"
    return len(texts)


def warm(folder: Path, rows: int) -> None:
    """Continue with warm caches to the end, and run again."""
    with endpoint(serve, folder / SERVER_LOG) as base_url:
        run = Execution(folder, base_url)
        report_start("warm: first request", run.first_request())
        _, seconds, peak = run.finish()
        report("warm: published", seconds, peak)
        check_output(folder, rows)
        assert (requests := asked_rows(folder)) == MISSING, requests
        run = Execution(folder, base_url)
        result, seconds, peak = run.finish()
        assert result["again"], result
        report("finished before: run again", seconds, peak)


def cold(folder: Path, rows: int) -> None:
    """Continue with cold caches, up to the first request."""
    del rows
    with endpoint(serve, folder / SERVER_LOG) as base_url:
        os.sync()
        try:
            Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
        except OSError as error:
            sys.stdout.write(f"cold: not measured ({error})\n")
            return
        run = Execution(folder, base_url)
        report_start("cold: first request", run.first_request())
        run.kill()


def no_parts(folder: Path, rows: int) -> None:
    """Continue without parts; what is missing is at the end, so the first request comes after all look-ups."""
    for path in folder.glob("state/runs/*/parts/*"):
        path.unlink()
    with endpoint(serve, folder / SERVER_LOG) as base_url:
        run = Execution(folder, base_url)
        start = run.first_request()
        report_start("no parts: first request", start)
        sys.stdout.write(f"no parts: {rows / start.seconds:,.0f} rows/s looked up\n")
        run.kill()


CASES: dict[str, Callable[[Path, int], None]] = {"warm": warm, "cold": cold, "no-parts": no_parts}


def report(what: str, seconds: float, peak_mb: float) -> None:
    """Print one figure."""
    sys.stdout.write(f"{what:<42} {seconds:7.2f} s, {peak_mb:5.0f} MB peak RSS\n")
    sys.stdout.flush()


def report_start(what: str, start: Start) -> None:
    """Print the figures of a start."""
    report(f"{what} ({start.cpu_seconds:.2f} s CPU)", start.seconds, start.peak_mb)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--rows", type=int, default=10_000_000, help="rows of the input")
    parser.add_argument("--keep", type=Path, help="keep the built state here, for the next time")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="recovery-") as name:
        folder = (chosen.keep or Path(name)).absolute() / f"rows-{chosen.rows}"
        build_once(folder, chosen.rows)
        for case in chosen.cases or CASES:
            renew(folder)
            CASES[case](folder, chosen.rows)


if __name__ == "__main__":
    main()
