"""Time that stops or steps: rates and deadlines stay, and nothing fails that did not fail."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import formatdate
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import LimitReachedError
from pipeline.servers.simulator.log import Entry
from pipeline.system.clock import Clock
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, right_label, run_job, texts
from tests.reliability.checker import Witness, violations
from tests.reliability.launcher import Ended, Execution, Launcher

BURST = 2
"""Requests beyond the rate that the limiter lets through: what its bucket holds (pipeline.llm.limits.SLICES)."""

IN_FLIGHT = 16
RATE = 9_000
LATE = 1.2
"""A busy machine shifts arrivals: a fifth of a second's worth. What piles up while a run stands still is far more."""

HOUR, DAY = 3_600.0, 86_400.0


@pytest.fixture
def slow_server() -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.05)), label_for=right_label) as server:
        yield server


@pytest.fixture
def slow_job(tmp_path: Path, slow_server: FaultServer) -> JobFiles:
    return JobFiles(tmp_path, slow_server.base_url).set(limits={"max_concurrency": IN_FLIGHT})


def most_within_a_second(entries: Sequence[Entry]) -> int:
    """The most requests that arrived within any one second."""
    times = sorted(entry.at for entry in entries if entry.text)
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def sleep_through(execution: Execution, server: FaultServer, requests: int, seconds: float) -> Ended:
    """Stop an execution for so long once it has sent so many requests, and wait until it has ended."""
    deadline = time.monotonic() + 60
    while server.requests < requests:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    execution.signal(signal.SIGSTOP)
    time.sleep(seconds)
    execution.signal(signal.SIGCONT)
    return execution.wait()


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [pytest.param(3, 300, marks=pytest.mark.slow), pytest.param(120, 6000, marks=pytest.mark.soak)],
    ids=["3 s", "120 s"],
)
def test_a_run_that_was_stopped_goes_on_at_its_rate_and_nothing_has_failed(
    slow_job: JobFiles, slow_server: FaultServer, launcher: Launcher, seconds: float, rows: int
) -> None:
    slow_job.table(texts(rows))
    slow_job.set(limits={"requests_per_minute": RATE})
    execution = launcher.start("run", str(slow_job.config_file()), "--quiet")
    ended = sleep_through(execution, slow_server, rows // 3, seconds)
    assert (ended.status, ended.err) == (0, "")
    result = json.loads(ended.out)
    assert (result["rows"], result["failed"], result["retries"]) == (rows, 0, 0)
    assert violations(slow_job, slow_server) == []
    assert most_within_a_second(slow_server.entries) <= RATE / 60 * LATE + BURST


class Stepping:
    """A wall clock that steps while rows are being asked about; time goes on as ever."""

    def __init__(self, *steps: tuple[int, float]) -> None:
        self._steps = list(steps)
        self._offset = 0.0
        self.asked = 0
        self.read = 0

    def label(self, text: str) -> str:
        self.asked += 1
        while self._steps and self._steps[0][0] <= self.asked:
            self._offset += self._steps.pop(0)[1]
        return right_label(text)

    def wall(self) -> float:
        self.read += 1
        return time.time() + self._offset

    @property
    def clock(self) -> Clock:
        return Clock(wall=self.wall)


STEPS = [
    pytest.param([(20, -HOUR)], id="an hour back"),
    pytest.param([(20, DAY)], id="a day on"),
    pytest.param([(20, DAY), (40, -DAY), (60, -HOUR)], id="to and fro"),
]


@pytest.mark.parametrize("steps", STEPS)
async def test_a_wall_clock_that_steps_changes_no_rate_and_no_row(
    tmp_path: Path, steps: list[tuple[int, float]]
) -> None:
    stepping = Stepping(*steps)
    async with FaultServer(label_for=stepping.label) as server:
        job = JobFiles(tmp_path, server.base_url).set(limits={"requests_per_minute": RATE})
        witness = Witness(job, lambda: server.entries)
        for night in range(2):
            rows = texts(100 + night * 20)
            job.table(rows)
            begun = time.monotonic()
            async with asyncio.timeout(60):
                result = await run_job(job.config(), clock=stepping.clock)
            took = time.monotonic() - begun
            witness.execution_ended()
            assert (result.failed, result.requests) == (0, 100 if night == 0 else 20)
            assert took > result.requests * 60 / RATE - 0.1
            assert result.seconds < took + 0.1
        assert witness.verdict() == []
        assert most_within_a_second(server.entries) <= RATE / 60 * LATE + BURST
    assert stepping.read >= 120  # it was not by chance that nobody looked


@pytest.mark.parametrize("step", [-HOUR, DAY])
async def test_the_deadline_is_measured_on_the_clock_that_does_not_step(tmp_path: Path, step: float) -> None:
    stepping = Stepping((5, step))
    async with FaultServer(label_for=stepping.label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.set(limits={"requests_per_minute": 3000, "max_runtime": "1s"})
        job.table(texts(1000))
        begun = time.monotonic()
        with pytest.raises(LimitReachedError, match=r"limits\.max_runtime"):
            await run_job(job.config(), clock=stepping.clock)
        assert time.monotonic() - begun > 0.9
        assert stepping.asked < 1000


@pytest.mark.slow
@pytest.mark.parametrize("step", [-HOUR, DAY])
async def test_a_date_in_retry_after_is_taken_as_the_server_means_it(tmp_path: Path, step: float) -> None:
    stepping = Stepping((1, step))
    async with FaultServer(label_for=stepping.label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(20))
        job.set(limits={"max_concurrency": 1})
        dates = (("Date", formatdate(0, usegmt=True)), ("Retry-After", formatdate(1, usegmt=True)))
        server.script([None, Response(429, b'{"error": {"message": "wait"}}', dates)])
        async with asyncio.timeout(60):
            result = await run_job(job.config(), clock=stepping.clock)
        refused = next(entry for entry in server.entries if entry.status == 429)
        later = min(
            entry.at for entry in server.entries if entry.at > refused.at and entry.key == refused.key
        )
    assert (result.failed, result.ok) == (0, 20)
    assert later - refused.at > 0.99


@pytest.mark.slow
async def test_a_limiter_that_wakes_up_late_does_not_make_up_for_lost_time(tmp_path: Path) -> None:
    """As when the machine was busy with something else: the loop stands still, the limits do not pile up."""
    blocked: list[Callable[[], None]] = [lambda: time.sleep(0.9)]

    async def block() -> None:
        await asyncio.sleep(0.5)
        blocked.pop()()

    with FaultServer(label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url).set(limits={"requests_per_minute": 6000})
        job.table(texts(200))
        async with asyncio.TaskGroup() as group:
            group.create_task(block())
            group.create_task(run_job(job.config()))
        assert most_within_a_second(server.entries) <= 100 * LATE + BURST
