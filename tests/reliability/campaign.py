"""Jobs that are killed again and again, and everything that is looked at meanwhile."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import polars as pl

from pipeline.config.simulate.latency import Uniform
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label
from tests.reliability.checker import Record, Witness
from tests.reliability.launcher import Ended, Execution, Launcher
from tests.reliability.reader import Reader

IN_FLIGHT = 8
KILLED = -9
CHUNK_ROWS = 50
LATENCY = Uniform(0.004, 0.02)
"""With IN_FLIGHT requests some 670 answers a second: about 33 in one commit of 50 ms."""


def soak_seeds(count: int) -> range:
    """Seeds for a long test; SOAK_SEED chooses the first, and is told with every failure as part of the name."""
    first = int(os.environ.get("SOAK_SEED", "1"))
    return range(first, first + count)


def table_of(rows: list[str | None]) -> pl.DataFrame:
    """A table with *rows* and columns that the run does not look at."""
    return pl.DataFrame({"id": range(len(rows)), "text": rows, "price": [n / 7 for n in range(len(rows))]})


def write_rows(job: JobFiles, rows: list[str | None], *, folder: bool) -> None:
    """Write the input in chunks of a few rows: one file with small row groups, or a folder of small files."""
    frame = table_of(rows)
    if not folder:
        frame.write_parquet(job.folder / "in.parquet", row_group_size=CHUNK_ROWS)
        return
    job.set(input={"path": "in"}, output={"path": "out"})
    (job.folder / "in").mkdir(exist_ok=True)
    for number in range(0, len(frame), CHUNK_ROWS):
        frame[number : number + CHUNK_ROWS].write_parquet(job.folder / "in" / f"{number:05}.parquet")


@dataclass
class Campaign:
    """One job, its server and its witness, killed as often as somebody wants."""

    job: JobFiles
    server: FaultServer
    launcher: Launcher
    witness: Witness
    ended: list[Ended] = field(default_factory=list)

    def start(self, **plan: object) -> Execution:
        """Start an execution."""
        return self.launcher.start("run", str(self.job.config_file()), "--quiet", **plan)

    def note(self, ended: Ended) -> bool:
        """Have the witness look at what an execution has left; returns whether it was killed."""
        self.settle()
        self.ended.append(ended)
        self.witness.execution_ended(killed=ended.status == KILLED)
        assert ended.status in {KILLED, 0}, ended.err
        return ended.status == KILLED

    def settle(self) -> None:
        """Wait until the server has noted the requests that nobody waits for any more."""
        while self.server.in_flight:
            time.sleep(0.001)

    def kill_after(self, seconds: float) -> bool:
        """Start an execution and kill it after so many seconds; returns whether there was something to kill."""
        execution = self.start()
        time.sleep(seconds)
        return self.note(execution.kill())

    def kill_until_done(self, moments: Callable[[], float], most: int) -> None:
        """Kill at most *most* executions, each after the next of *moments*, until one comes through."""
        for _ in range(most):
            if not self.kill_after(moments()):
                return
        self.note(self.start().wait())


@contextmanager
def campaign(
    folder: Path, launcher: Launcher, rows: list[str | None], record: Record, *, as_folder: bool = False
) -> Iterator[Campaign]:
    """Give a campaign against a server of its own; its output is read all the time, its figures are recorded."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = FaultServerSettings(latency=LATENCY)
    with FaultServer(settings, label_for=right_label) as server:
        job = JobFiles(folder, server.base_url).set(limits={"max_concurrency": IN_FLIGHT})
        write_rows(job, rows, folder=as_folder)
        found = Campaign(job, server, launcher, Witness(job, lambda: server.entries))
        with Reader(job.output) as reader:
            yield found
        found.witness.record(record, "SIGKILL")
        record("SIGKILL: readings of the output meanwhile", reader.reads)
        record("SIGKILL: readings that failed", len(reader.failures))
        broken = [*reader.failures, *found.witness.verdict()]
        assert broken == [], "\n".join(broken)


def moments(chance: Random, longest: float) -> Callable[[], float]:
    """Return a function that gives moments in seconds: half of them anywhere, half of them early."""
    return lambda: chance.uniform(0, chance.choice([longest, longest / 5]))
