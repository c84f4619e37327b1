"""`run --workers`: several processes ask, and everything else is as with one."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing import Pipe
from pathlib import Path

import pytest

from pipeline.commands.worker import Told
from pipeline.config.simulate.latency import Fixed
from pipeline.engine.worker import Line, summed
from pipeline.engine.workers import most_workers
from pipeline.servers.simulator.settings import RateSettings
from pipeline.telemetry.logs import said_of
from pipeline.telemetry.pace import Progress
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, last_line, right_label, texts
from tests.slices.compare import but_for_run_ids, distinct, with_duplicates
from tests.tasks.make import config

ROWS = 600
SAME = (
    "rows", "ok", "failed", "empty", "duplicates", "reused", "requests", "retries", "prompt_tokens",
    "completion_tokens", "cost_usd", "cost_source", "status",
)  # fmt: skip


def children(parent: int) -> list[int]:
    """The processes that *parent* has started."""
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(each) for each in found]


def wait_until(happened: Callable[[], object], process: subprocess.Popen[str]) -> None:
    while not happened():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def ended(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[JobFiles, FaultServer]]:
    """A job of 1,500 rows whose endpoint takes its time, so that something can happen meanwhile."""
    with FaultServer(FaultServerSettings(latency=Fixed(0.3)), label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.set(limits={"max_concurrency": 30}, model={"price": {"input": 1, "output": 2}}).table(
            texts(1_500)
        )
        yield job, server


def test_workers_give_the_table_and_the_figures_of_one_process(job: JobFiles, server: FaultServer) -> None:
    rows = with_duplicates(ROWS)
    job.table(rows)
    price = {"input": 1, "output": 2}
    job.set(model={"price": price}, state={"dir": "one"}, output={"path": "one.parquet"})
    one = last_line(job.run())
    expected = job.labelled()
    sent = len(asked(server))

    job.set(state={"dir": "three"}, output={"path": "three.parquet"})
    run = job.spawn("--workers", "3")
    assert run.returncode == 0, run.stderr
    three = last_line(run)
    assert len(asked(server)) == sent + distinct(rows)
    assert but_for_run_ids(job.labelled()).equals(but_for_run_ids(expected))
    assert set(job.labelled()["label_run"].drop_nulls()) == {three["run_id"]}
    assert {name: three[name] for name in SAME} == {name: one[name] for name in SAME}
    assert not list(job.folder.rglob(".workers*"))


@pytest.mark.slow
def test_a_worker_that_is_killed_is_started_again_and_only_what_was_in_flight_is_asked_again(
    slow: tuple[JobFiles, FaultServer],
) -> None:
    job, server = slow
    run = job.start("--workers", "2")
    wait_until(lambda: len(asked(server)) > 200, run)
    os.kill(children(run.pid)[0], signal.SIGKILL)
    _, said = run.communicate()
    assert run.returncode == 0
    assert "has ended by SIGKILL, and is started again" in said
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(1_500)]
    assert len(server.repeats()) <= 2 * 15  # in flight, or answered in the last commit


@pytest.mark.slow
def test_a_run_that_is_killed_leaves_no_worker_that_sends_and_is_continued_with_another_count(
    slow: tuple[JobFiles, FaultServer],
) -> None:
    job, server = slow
    run = job.start("--workers", "3")
    wait_until(lambda: len(asked(server)) > 200, run)
    workers = children(run.pid)
    stopped = workers[0]
    os.kill(stopped, signal.SIGSTOP)  # it hears nothing of the end
    run.kill()
    run.wait()
    for stream in (run.stdout, run.stderr):  # whose end would come with that of the stopped worker
        assert stream is not None
        stream.close()
    while not all(map(ended, workers[1:])):
        time.sleep(0.02)
    sent = 0
    while sent < (sent := len(asked(server))):  # what was on its way still comes in
        time.sleep(0.5)
    os.kill(stopped, signal.SIGCONT)
    while not ended(stopped):
        time.sleep(0.02)
    assert len(asked(server)) == sent

    again = job.spawn("--workers", "2")
    assert again.returncode == 0, again.stderr
    assert job.labelled()["label"].to_list() == [right_label(text) for text in texts(1_500)]
    assert len(server.repeats()) <= 2 * 30
    assert last_line(again)["reused"] == 0  # it is the same run


@pytest.mark.slow
def test_a_worker_loads_no_pandas(slow: tuple[JobFiles, FaultServer]) -> None:
    pytest.importorskip("pandas")
    job, server = slow
    run = job.start("--workers", "2")
    wait_until(lambda: len(asked(server)) > 50, run)
    loaded = [Path(f"/proc/{worker}/maps").read_text() for worker in children(run.pid)]
    run.communicate()
    assert all("/pyarrow/" in each and "/pandas/" not in each for each in loaded)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_reaches_the_workers_and_nothing_that_was_paid_is_lost(
    slow: tuple[JobFiles, FaultServer], how: signal.Signals
) -> None:
    job, server = slow
    run = job.start("--workers", "2")
    wait_until(lambda: len(asked(server)) > 200, run)
    workers = children(run.pid)
    run.send_signal(how)
    _, said = run.communicate()
    assert run.returncode == 75
    assert all(map(ended, workers))
    assert "rows are answered and kept ($" in said
    assert "never retrieved" not in said
    again = job.spawn()
    assert again.returncode == 0
    assert server.repeats() == {}
    assert last_line(again)["requests"] == 1_500


@pytest.mark.slow
def test_the_error_of_a_worker_is_that_of_the_run(tmp_path: Path) -> None:
    with FaultServer(FaultServerSettings(api_key="right"), label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(50))
        job.set(model={"api_key_env": "KEY"})
        refused = job.spawn("--workers", "2", env={"KEY": "wrong"})
        assert refused.returncode == 77, refused.stderr
        assert job.spawn("--workers", "2", env={"KEY": "right"}).returncode == 0


@pytest.mark.slow
def test_workers_share_a_budget_and_use_nearly_all_of_it(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(2_000))
    job.set(model={"price": {"input": 10, "output": 10}}, limits={"max_cost_usd": 0.5})
    run = job.spawn("--workers", "3")
    assert run.returncode == 75, run.stderr
    assert "max_cost_usd" in run.stderr
    spent = sum(entry.prompt_tokens + entry.completion_tokens for entry in server.entries) * 10 / 1e6
    assert 0.45 < spent <= 0.5


@pytest.mark.slow
def test_workers_share_the_limits(tmp_path: Path) -> None:
    rate = RateSettings(requests_per_minute=6_000)
    with FaultServer(FaultServerSettings(rates=rate), label_for=right_label) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(800))
        job.set(limits={"requests_per_minute": 6_000})
        assert job.spawn("--workers", "3").returncode == 0
        times = sorted(entry.at for entry in server.entries if entry.text)
        assert times[-1] - times[0] >= 7.5  # 800 at 100 a second; with a quota each it would be 2.7


@pytest.mark.slow
def test_a_condition_and_a_sample_go_with_workers(job: JobFiles, server: FaultServer) -> None:
    job.table(texts(300))
    job.set(input={"where": "id >= 100"})
    assert job.spawn("--workers", "2").returncode == 0
    assert len(asked(server)) == 200
    sampled = job.spawn("--workers", "2", "--sample", "50")
    assert sampled.returncode == 0, sampled.stderr
    assert len(asked(server)) == 200


def test_a_line_of_a_worker_names_the_endpoint_that_it_is_about() -> None:
    ours, theirs = Pipe()
    token = said_of.set("h A")
    try:
        Told(theirs, logging.INFO).handle(logging.makeLogRecord({"msg": "asked no more"}))
    finally:
        said_of.reset(token)
    found = ours.recv()
    assert isinstance(found, Line)
    assert found.text == "h A: asked no more"


def test_the_shares_of_endpoints_are_those_of_all_workers() -> None:
    both = summed([Progress(shares={"a": 3, "b": 0}), Progress(shares={"a": 4, "c": 1}), Progress()])
    assert dict(both.shares) == {"a": 7, "b": 0, "c": 1}


def test_there_are_no_more_workers_than_the_smallest_endpoint_takes_requests_at_once(tmp_path: Path) -> None:
    limits = {"max_concurrency": 8}
    entries = [{"base_url": "https://g/v1"}, {"base_url": "https://h/v1", "limits": {"max_concurrency": 3}}]
    assert most_workers(config(tmp_path, limits=limits)) == 8
    several = {"base_url": None, "endpoints": entries}
    assert most_workers(config(tmp_path, limits=limits, model=several)) == 3
