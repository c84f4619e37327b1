"""An endpoint that is unavailable for ten minutes costs time and nothing else (fault 19)."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import ProviderUnavailableError
from pipeline.servers.simulator.settings import OutageKind
from pipeline.system.clock import Clock
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, environment, right_label, run_job, texts
from tests.reliability.against import Eye, Pauses, chats, job_against, quick, raised, until
from tests.reliability.checker import Witness, violations

KINDS = ["refuse", "503", "hang"]
TEN_MINUTES = 600
BACK_WITHIN, SPAN = 60, 5
MOST_REQUESTS = 60
IN_FLIGHT = 8
LATENCY = Fixed(0.04)

SPEED = 150
"""Ten minutes are four seconds."""

SPEED_TO_SCALE = 60
"""Ten minutes are ten seconds: where calls time out, after 24 s then, this leaves room for a machine that is busy."""


def recovered_after(server: FaultServer, back: float, rate: float) -> float:
    """Seconds from the server's return until answers come at nine tenths of *rate*, over SPAN seconds."""
    moments = [entry.at for entry in chats(server) if entry.fault is None and entry.at >= back]
    enough = round(0.9 * rate * SPAN)
    for first, last in zip(moments, moments[enough - 1 :], strict=False):
        if last - first <= SPAN:
            return first - back
    raise AssertionError(f"only {len(moments)} answers, and never {enough} within {SPAN} s")


async def through_an_outage(
    server: FaultServer, job: JobFiles, kind: OutageKind, seconds: float, clock: Clock
) -> tuple[int, float, float]:
    """Run *job* through an outage; returns the requests after it was noticed, and when it began and ended."""
    eye = Eye()
    run = asyncio.create_task(run_job(job.config(), watch=eye, clock=clock))
    await until(lambda: server.billed > 10 * IN_FLIGHT)
    began = time.time()
    server.start_outage(kind)
    eye.when_unavailable = None  # a busy machine may have looked like an outage before
    on_the_way = eye.requests + IN_FLIGHT
    await asyncio.sleep(seconds)
    sent = eye.requests
    server.stop_outage()
    back = time.time()
    result = await run
    assert result.failed == 0
    assert violations(job, server) == []
    # Where everything is refused the pace alone holds requests back, before the breaker would.
    return sent - (on_the_way if eye.when_unavailable is None else eye.when_unavailable), began, back


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "speed"),
    [
        ("refuse", SPEED),
        pytest.param("503", SPEED, marks=pytest.mark.slow),
        pytest.param("hang", SPEED_TO_SCALE, marks=pytest.mark.soak),
    ],
)
async def test_ten_minutes_away_cost_few_requests_and_no_row_and_nobody_sleeps_longer_than_a_minute(
    tmp_path: Path, kind: OutageKind, speed: float
) -> None:
    limits = {"max_concurrency": IN_FLIGHT, "request_timeout": 24 / SPEED_TO_SCALE}
    pauses = Pauses(quick(speed))
    with job_against(tmp_path, texts(160), limits=limits, latency=LATENCY) as (server, job):
        sent, _, _ = await through_an_outage(server, job, kind, TEN_MINUTES / speed, pauses.clock)
    assert sent <= MOST_REQUESTS
    assert max(pauses.seconds) <= BACK_WITHIN


@pytest.mark.soak
async def test_ten_real_minutes_away_cost_few_requests_no_row_and_less_than_a_minute_more(
    tmp_path: Path,
) -> None:
    limits = {"max_concurrency": 64}
    with job_against(tmp_path, texts(9000), limits=limits, latency=Fixed(0.5)) as (server, job):
        sent, began, back = await through_an_outage(server, job, "hang", TEN_MINUTES, Clock())
        rate = sum(began - SPAN <= entry.at < began for entry in chats(server)) / SPAN
        assert recovered_after(server, back, rate) <= BACK_WITHIN
    assert sent <= MOST_REQUESTS


@pytest.mark.parametrize("kind", KINDS)
async def test_an_outage_longer_than_max_outage_ends_the_run_with_69_and_the_next_one_continues(
    tmp_path: Path, kind: OutageKind
) -> None:
    limits = {"max_concurrency": IN_FLIGHT, "request_timeout": 24 / SPEED_TO_SCALE, "max_outage": "1m"}
    with job_against(tmp_path, texts(200), limits=limits, latency=Fixed(0.01)) as (server, job):
        witness = Witness(job, lambda: server.entries)
        run = asyncio.create_task(run_job(job.config(), clock=quick(SPEED_TO_SCALE)))
        await until(lambda: server.billed > 50)
        server.start_outage(kind)
        begun = time.monotonic()
        message = await raised(run, ProviderUnavailableError)
        assert time.monotonic() - begun >= 60 / SPEED_TO_SCALE
        assert "limits.max_outage" in message
        assert "run again to continue" in message
        witness.execution_ended()

        server.stop_outage()
        job.set(limits={"request_timeout": "auto"})
        result = await run_job(job.config())
        witness.execution_ended()
        assert (result.failed, result.exit_status) == (0, 0)
        assert witness.verdict() == []
        assert server.repeats() == {}


async def test_a_host_that_does_not_resolve_is_an_outage_that_names_it(tmp_path: Path) -> None:
    job = JobFiles(tmp_path, "http://nonexistent.invalid:1/v1")
    job.set(model={"allow_insecure": True}, limits={"max_outage": "1m"})
    job.table(texts(20))
    message = await raised(run_job(job.config(), clock=quick(SPEED)), ProviderUnavailableError)
    assert "nonexistent.invalid:1" in message
    assert ProviderUnavailableError.exit_status == 69


async def test_an_outage_is_told_when_it_begins_and_when_it_ends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with job_against(tmp_path, texts(100), limits={"max_concurrency": 2}, latency=Fixed(0.01)) as (
        server,
        job,
    ):
        run = asyncio.create_task(run_job(job.config(), clock=quick(SPEED)))
        await until(lambda: server.billed > 20)
        server.start_outage("refuse")
        await asyncio.sleep(0.3)
        server.stop_outage()
        await run
    told = [record.getMessage() for record in caplog.records if record.name.startswith("pipeline.llm")]
    assert len(told) == 2
    assert told[0].startswith("the endpoint is away: no connection to the endpoint: ")
    assert "at most 1800 s (limits.max_outage)" in told[0]
    assert told[1].startswith("the endpoint is back after ")


@pytest.mark.parametrize("answers", [{}, {"model_objects": False}], ids=["model objects", "none"])
async def test_a_row_that_always_fails_costs_itself_and_not_the_run(
    tmp_path: Path, answers: dict[str, bool]
) -> None:
    rows = texts(40)
    with job_against(tmp_path, rows, **answers) as (server, job):
        server.when(lambda text: text == rows[7], "http_502")
        result = await run_job(job.config(), clock=quick(1000))
        assert (result.ok, result.failed) == (39, 1)
        labelled = job.labelled()
        assert labelled["label_status"][7] == "error"
        assert "attempts: 502" in labelled["label_error"][7]
        assert (await run_job(job.config())).again


IN_A_NAMESPACE = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
needs_namespaces = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None,
    reason="needs root and unshare: `apt-get install util-linux`, or run `make soak` as root",
)


@pytest.mark.soak
@needs_namespaces
def test_a_host_that_resolves_after_a_while_is_found(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    with FaultServer(FaultServerSettings(), label_for=right_label) as server:
        url = server.base_url.replace("127.0.0.1", "found-later.invalid")
        job = JobFiles(tmp_path, url).set(model={"allow_insecure": True})
        job.table(texts(50))
        command = [sys.executable, "-m", "pipeline", "run", str(job.config_file())]
        run = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", IN_A_NAMESPACE, "sh", str(hosts), *command],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(),
        )  # fmt: skip
        time.sleep(8)
        assert run.poll() is None
        assert server.requests == 0
        with hosts.open("a") as file:
            file.write("127.0.0.1 found-later.invalid\n")
        _, told = run.communicate(timeout=60)
        assert run.returncode == 0, told
        assert "the endpoint is away" in told
        assert "the endpoint is back" in told
        assert violations(job, server) == []
