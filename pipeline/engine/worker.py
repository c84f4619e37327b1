"""One worker of a run: what it is told, what it tells, and its process, which is started again if it is killed.

A worker holds no lock: it works as long as the process that started it holds the run's, which it checks before each
request. So whoever is killed leaves nobody behind.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.config.slices import Slice
from pipeline.errors import BudgetSpentError, InterruptedRunError, PipelineError
from pipeline.job.job import Job
from pipeline.records import Span
from pipeline.storage import Leash
from pipeline.telemetry.pace import Progress

log = logging.getLogger(__name__)

BEGINS = (
    "import sys; from pipeline.system.memory import claim_process; claim_process(); "
    "from pipeline.commands.worker import main; main(int(sys.argv[1]))"
)
"""The program of a worker: it claims its process before anything imports pyarrow, or it would not be claimed."""

RESTARTS = 3
"""How often a worker that was killed is started again."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is to do.

    Attributes:
        job: The job, with the worker's share of the limits and a workspace of its own.
        part: The keys to answer.
        spans: The rows to look for them in.
        leashes: The locks of the run.
        level: Of log lines, the least that is of interest.
    """

    job: Job
    part: Slice
    spans: Sequence[Span]
    leashes: Sequence[Leash]
    level: int


@dataclass(frozen=True, slots=True)
class Line:
    """A log line of a worker."""

    name: str
    level: int
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """How a worker has ended.

    Attributes:
        kind: The class of its error; None if there was none.
        problems: That error's.
        price_source: Where the price is from.
        latencies: How many replies took how long.
    """

    kind: type[PipelineError] | None
    problems: Sequence[str]
    price_source: str | None
    latencies: Mapping[float, int]


async def _messages(pipe: Connection) -> AsyncIterator[object]:
    """Yield what comes through *pipe*, until an EOFError."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        while True:
            await readable.wait()
            readable.clear()
            while pipe.poll():
                yield pipe.recv()
    finally:
        loop.remove_reader(pipe.fileno())


class Worker:
    """One worker, through all of its processes."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._connection: Connection | None = None
        self.before, self.now = Progress(), Progress()  # of earlier processes, of this one
        self.end: End | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._deaths, self._stopping = 0, False

    async def work(self, said: set[str]) -> None:
        """Run a process to its end, and start another if it is killed.

        Raises:
            PipelineError: If it fails; or if it was killed again and again.
        """
        while self.end is None:
            status = await self._run(said)
            if self.end is None:
                self._deaths += 1
                name, how = f"worker {self._assignment.part.index}", _how(status)
                if self._deaths > RESTARTS or self._stopping:
                    raise InterruptedRunError(
                        f"{name} has ended {self._deaths} times, at last {how}; run again to continue, with fewer workers if "
                        "the machine has too little memory"
                    )
                log.warning("%s has ended %s, and is started again", name, how)
                self.before, self.now = self.total, Progress()
        # Its share of the budget is spent: the run goes on alone with what others have left of theirs.
        if self.end.kind is not None and not issubclass(self.end.kind, BudgetSpentError):
            raise self.end.kind(*self.end.problems)

    async def _run(self, said: set[str]) -> int:
        ours, theirs = Pipe()
        with ours:
            with theirs:
                process = _start(theirs)
            self._connection, self.process = ours, process
            with suppress(EOFError, OSError):
                await asyncio.to_thread(ours.send, self._assignment)
                async for message in _messages(ours):
                    self._take(message, said)
            self._connection = None
            return await asyncio.to_thread(process.wait)

    def _take(self, message: object, said: set[str]) -> None:
        match message:
            case Progress():
                self.now = message
            case End():
                self.end = message
            case Line() if message.text not in said:  # what one has said the others need not say again
                said.add(message.text)
                logging.getLogger(message.name).log(message.level, "%s", message.text)

    def stop(self) -> None:
        """Ask the process to stop; asked again, it stops at once."""
        self._stopping = True
        if self._connection is not None:
            with suppress(OSError):  # it is dying
                self._connection.send(None)

    def kill(self) -> None:
        """End the process, which has not stopped."""
        if self.process is not None:
            self.process.kill()

    @property
    def total(self) -> Progress:
        """What all of its processes have done; where it stands is what the last of them says."""
        return replace(
            summed([self.before, self.now]),
            done=self.now.done,
            failed=self.now.failed,
            reused=self.now.reused,
        )


def summed(progresses: Iterable[Progress]) -> Progress:
    """Return the sum of what several processes have done."""
    found = list(progresses)
    costs = [each.cost_usd for each in found if each.cost_usd is not None]
    shares = Counter[str]()
    for each in found:
        shares.update(each.shares)
    return Progress(
        in_flight=sum(each.in_flight for each in found),
        waiting=any(each.waiting for each in found),
        stopping=any(each.stopping for each in found),
        requests=sum(each.requests for each in found),
        retries=sum(each.retries for each in found),
        throttled=sum(each.throttled for each in found),
        tokens=sum(each.tokens for each in found),
        cost_usd=sum(costs) if costs else None,
        shares=shares,
    )


def joined(own: Progress, workers: Sequence[Progress], before: int = 0) -> Progress:
    """Return the progress of a run and of its *workers* together; *own* is that of the run, which had *before* rows in parts."""
    if not workers:
        return own
    # Each worker goes through the whole input; and what they have found the run finds again.
    return replace(
        summed([own, *workers]),
        rows=own.rows,
        # What the second model has answered, which the run asks, no worker has counted.
        done=max(own.done, before + sum(each.done for each in workers) // len(workers) + own.second),
        failed=max(own.failed, sum(each.failed for each in workers)),
        reused=max(own.reused, sum(each.reused for each in workers)),
    )


def _start(pipe: Connection) -> "subprocess.Popen[bytes]":
    """Start the process of a worker, out of reach of the terminal's signals: the run passes them on."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-c", BEGINS, str(pipe.fileno())],
        pass_fds=[pipe.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def _how(status: int) -> str:
    return f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
