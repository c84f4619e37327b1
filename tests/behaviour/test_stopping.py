"""Whatever ends a run, the same command continues it: nothing lost, nothing doubled, nothing paid twice."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pipeline import RunOptions
from pipeline.config.simulate.latency import Fixed
from pipeline.errors import LimitReachedError
from pipeline.job.prepare import started
from pipeline.journey import run_started
from pipeline.system.shutdown import Stop
from pipeline.telemetry.progress import Look, Progress
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, chunk_of, command, environment, last_line, right_label, run_job, texts

IN_FLIGHT = 16
LATENCY = 0.02
COMMIT = 64
"""Answers that a crash may cost beyond those in flight: what arrives within one commit of 50 ms, generously."""


@pytest.fixture
def slow_server():
    with FaultServer(FaultServerSettings(latency=Fixed(LATENCY)), label_for=right_label) as server:
        yield server


@pytest.fixture
def slow_job(tmp_path: Path, slow_server: FaultServer) -> JobFiles:
    job = JobFiles(tmp_path, slow_server.base_url)
    return job.set(limits={"max_concurrency": IN_FLIGHT})


@pytest.fixture(autouse=True)
def no_nohup() -> Iterator[None]:
    """Have SIGHUP mean what it usually means, also where all these tests run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def wait_for_requests(server: FaultServer, count: int) -> None:
    deadline = time.monotonic() + 30
    while server.requests < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def all_right(job: JobFiles, rows: list[str]) -> None:
    labelled = job.labelled()
    assert labelled["text"].to_list() == rows
    assert labelled["label"].to_list() == [right_label(text) for text in rows]


@pytest.mark.soak
def test_after_ten_kills_at_random_moments_no_row_is_lost_or_doubled(
    slow_job: JobFiles, slow_server: FaultServer
) -> None:
    rows = texts(4000)
    slow_job.table(rows)
    chance = random.Random(7)
    for _ in range(10):
        process = slow_job.start("--quiet")
        seen = slow_server.requests
        while process.poll() is None and slow_server.requests == seen:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.communicate()
    assert slow_job.run("--quiet").returncode == 0
    all_right(slow_job, rows)
    repeats = sum(count - 1 for count in slow_server.repeats().values())
    assert repeats <= 10 * (IN_FLIGHT + COMMIT)


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_a_gentle_stop_repeats_no_request(
    slow_job: JobFiles, slow_server: FaultServer, number: signal.Signals
) -> None:
    rows = texts(400)
    slow_job.table(rows)
    process = slow_job.start("--quiet")
    wait_for_requests(slow_server, 100)
    process.send_signal(number)
    done = ended(process)
    assert done.returncode == 75, done.stderr
    assert number.name in done.stderr
    assert last_line(done)["status"] == "interrupted"
    assert 0 < len(asked(slow_server)) < 400

    assert slow_job.run("--quiet").returncode == 0
    all_right(slow_job, rows)
    assert slow_server.repeats() == {}
    assert len(asked(slow_server)) == 400


@pytest.mark.slow
def test_a_signal_while_the_server_hangs_ends_the_run_when_its_drain_does(
    slow_job: JobFiles, slow_server: FaultServer
) -> None:
    slow_job.table(texts(200))
    slow_job.set(limits={"drain": "1s", "request_timeout": "10m"})
    process = slow_job.start("--quiet")
    wait_for_requests(slow_server, 20)
    slow_server.start_outage("hang")
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert ended(process).returncode == 75

    slow_server.stop_outage()
    answered = sum(entry.billed for entry in slow_server.entries)
    assert slow_job.run("--quiet").returncode == 0
    all_right(slow_job, texts(200))
    assert sum(entry.billed for entry in slow_server.entries) - answered == 200 - answered


async def test_once_there_is_a_reason_to_stop_nothing_more_is_sent_however_slow_the_disk(
    slow_job: JobFiles, slow_server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason comes while the first part is being written, which takes until the test lets it end."""
    in_flight, stop, rename = 4, Stop(), os.replace
    written, sent_before = threading.Event(), []

    def replace(old: Path, new: Path) -> None:
        if "parts" in Path(new).parts and not written.is_set():
            stop.ask(LimitReachedError("no more today"))
            sent_before.append(slow_server.requests)
            assert written.wait(60)
        rename(old, new)

    monkeypatch.setattr(os, "replace", replace)
    (slow_job.folder / "in").mkdir()
    for number in range(2):
        slow_job.table(chunk_of(texts(200, number * 200)), f"in/{number}.parquet")
    slow_job.set(input={"path": "in"}, output={"path": "out/days"}, limits={"max_concurrency": in_flight})
    with started(slow_job.config(), RunOptions()) as start:
        run = asyncio.create_task(run_started(start, stop=stop))
        while not sent_before:  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(0.001)
        await asyncio.sleep(30 * LATENCY)
        sent_meanwhile = slow_server.requests - sent_before[0]
        written.set()
        with pytest.raises(LimitReachedError):
            await run
    assert sent_meanwhile <= 2 * in_flight  # on their way when it came, and sent before the loop heard of it
    assert slow_server.requests == sent_before[0] + sent_meanwhile < 400


@pytest.mark.slow
def test_a_run_under_nohup_outlives_its_terminal(slow_job: JobFiles, slow_server: FaultServer) -> None:
    rows = texts(300)
    slow_job.table(rows)
    arguments = ["nohup", sys.executable, "-m", "pipeline", "run", str(slow_job.config_file()), "--quiet"]
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    )
    wait_for_requests(slow_server, 20)
    process.send_signal(signal.SIGHUP)
    assert ended(process).returncode == 0
    all_right(slow_job, rows)


@pytest.mark.slow
def test_two_runs_with_different_outputs_share_a_ledger(slow_job: JobFiles) -> None:
    rows = texts(200)
    slow_job.table(rows)
    slow_job.config_file()
    first = slow_job.start("--quiet")
    second = slow_job.start("--quiet", "--set", "output.path=out/other.parquet")
    assert [ended(first).returncode, ended(second).returncode] == [0, 0]
    third = slow_job.run("--quiet", "--set", "output.path=out/third.parquet")
    assert last_line(third)["requests"] == 0
    all_right(slow_job, rows)


def test_the_deadline_stops_a_run_and_the_next_one_continues(
    slow_job: JobFiles, slow_server: FaultServer
) -> None:
    slow_job.table(texts(600))
    done = slow_job.run("--quiet", "--set", "limits.max_runtime=0.4s")
    assert done.returncode == 75
    assert "limits.max_runtime" in done.stderr
    assert slow_job.run("--quiet").returncode == 0
    assert slow_server.repeats() == {}


def test_the_budget_stops_a_run_before_it_is_exceeded(slow_job: JobFiles) -> None:
    slow_job.table(texts(600))
    slow_job.set(model={"price": {"input": 1000, "output": 1000}}, limits={"max_cost_usd": 10})
    done = slow_job.run("--quiet")
    assert done.returncode == 75
    assert "limits.max_cost_usd" in done.stderr
    stats = last_line(run_ledger_stats(slow_job))
    assert stats["answers"] > 0
    assert stats["cost_usd"] <= 10


async def test_the_progress_of_a_run_that_is_continued_has_the_cost_of_this_execution_alone(
    slow_job: JobFiles,
) -> None:
    slow_job.table(texts(600))
    slow_job.set(model={"price": {"input": 1000, "output": 1000}}, limits={"max_cost_usd": 10})
    assert slow_job.run("--quiet").returncode == 75
    before = last_line(run_ledger_stats(slow_job))
    seen: list[Progress] = []

    class Watcher:
        @asynccontextmanager
        async def watching(self, look: Look) -> AsyncIterator[None]:
            yield
            seen.append(look())

    await run_job(slow_job.set(limits={"max_cost_usd": 1000}).config(), watch=Watcher())
    after = last_line(run_ledger_stats(slow_job))
    assert before["runs"] == after["runs"] == 1
    assert seen[-1].cost_usd == pytest.approx(after["cost_usd"] - before["cost_usd"])


def run_ledger_stats(job: JobFiles) -> subprocess.CompletedProcess[str]:
    return command("ledger", "stats", str(job.config_file()))
