"""A key or an account that is refused, a redirect, a certificate that nobody trusts (faults 31 and 32)."""

import ssl
import sys
import threading
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed, Uniform
from pipeline.errors import KeyRefusedError, PipelineError
from pipeline.llm.health.breaker import CONFIRMATIONS
from tests.faultserver.faults import FAULTS, Call
from tests.faultserver.http1 import Response, Wire
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, run_job, texts
from tests.reliability.against import chats, everybody, job_against, quick
from tests.reliability.checker import Witness, violations
from tests.reliability.launcher import Launcher

IN_FLIGHT = 32
CONTROLS = 20
"""Refused in the 20 to 30 seconds after which they end a run that has had replies, and a few rows sent meanwhile."""
LATENCY = Fixed(0.005)
KEY_REFUSED = {"unauthorized", "forbidden"}
ACCOUNT_EMPTY = {"quota_exhausted", "insufficient_credits"}
WRONG_ENDPOINT = {"model_not_found", "redirect_307", "redirect_308"}
EXIT = dict.fromkeys(KEY_REFUSED, 77) | dict.fromkeys(ACCOUNT_EMPTY, 77) | dict.fromkeys(WRONG_ENDPOINT, 78)
SAYS = {
    "unauthorized": "check the key",
    "forbidden": "check the key",
    "quota_exhausted": "no credit or quota left",
    "insufficient_credits": "no credit or quota left",
    "model_not_found": "set model.name",
    "redirect_307": "redirects to http://localhost",
    "redirect_308": "redirects to http://localhost",
}


class From:
    """Gives every call but the first *count* the fault *name*, until its end."""

    def __init__(self, server: FaultServer, count: int, name: str) -> None:
        self._name, self._left, self._lock = name, count, threading.Lock()
        server.when(everybody, self._behave)

    def end(self) -> None:
        """Answer rightly from now on."""
        self._left = sys.maxsize

    def _behave(self, call: Call) -> Response | Wire:
        with self._lock:
            self._left -= 1
            if self._left >= 0:
                return call.right()
            return FAULTS[self._name].act(call)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXIT))
async def test_what_no_row_can_pass_ends_the_run_once_it_persists_and_the_next_goes_on(
    tmp_path: Path, name: str
) -> None:
    good = 300
    rows = texts(good + 300)
    limits = {"max_concurrency": IN_FLIGHT}
    with job_against(tmp_path, rows, limits=limits, latency=LATENCY) as (server, job):
        witness = Witness(job, lambda: server.entries)
        fault = From(server, good, name)
        with pytest.raises(PipelineError, match=SAYS[name]) as caught:
            await run_job(job.config(), clock=quick(10))
        witness.execution_ended(killed=False)
        assert caught.value.exit_status == EXIT[name]
        assert good < len(chats(server)) <= good + IN_FLIGHT + CONTROLS
        assert server.strays == []
        fault.end()
        assert (await run_job(job.config())).failed == 0
        witness.execution_ended(killed=False)
        assert witness.verdict() == []
        assert server.repeats() == {}  # the first run's answers were all kept


@pytest.mark.parametrize("name", sorted(EXIT))
def test_what_no_row_can_pass_from_the_start_costs_next_to_no_requests(
    tmp_path: Path, launcher: Launcher, name: str
) -> None:
    with job_against(tmp_path, texts(500)) as (server, job):
        From(server, 0, name)
        ended = launcher.start("run", str(job.config_file()), "--quiet").wait()
        assert (ended.status, server.billed, server.strays) == (EXIT[name], 0, [])
        assert len(chats(server)) <= 4


def rotate(server: FaultServer, key_file: Path, good: int, *, arrives: bool) -> None:
    """Make *server* change its key after *good* calls; the new key is in the file at once, or never *arrives*."""
    keys, left, lock = ["sk-old"], [good], threading.Lock()
    key_file.write_text("sk-old\n")

    def behave(call: Call) -> Response | Wire:
        with lock:
            left[0] -= 1
            if left[0] == 0:
                keys[0] = "sk-new"
                key_file.write_text(f"sk-{'new' if arrives else 'old'}\n")
        given = call.request.headers["authorization"]
        return call.right() if given == f"Bearer {keys[0]}" else FAULTS["unauthorized"].act(call)

    server.when(everybody, behave)


async def test_a_key_that_is_rotated_costs_no_row_and_no_run(tmp_path: Path) -> None:
    rows, key_file = texts(400), tmp_path / "key"
    limits = {"max_concurrency": IN_FLIGHT}
    with job_against(tmp_path, rows, limits=limits, latency=LATENCY) as (server, job):
        job.set(model={"api_key_file": str(key_file)})
        rotate(server, key_file, good=200, arrives=True)
        result = await run_job(job.config())
        assert (result.ok, result.failed) == (len(rows), 0)
        assert violations(job, server) == []
        assert server.repeats() == {}
        assert len(chats(server)) <= len(rows) + 3 * IN_FLIGHT


async def test_a_new_key_that_never_comes_ends_the_run(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    with job_against(tmp_path, texts(400), limits={"max_concurrency": IN_FLIGHT}) as (server, job):
        job.set(model={"api_key_file": str(key_file)})
        rotate(server, key_file, good=200, arrives=False)
        with pytest.raises(PipelineError, match="check the key") as caught:
            await run_job(job.config(), clock=quick(10))
        assert caught.value.exit_status == 77
        assert len(chats(server)) <= 200 + IN_FLIGHT + CONTROLS


@pytest.mark.slow
async def test_refusals_that_come_slowly_and_between_replies_cost_no_more_requests(tmp_path: Path) -> None:
    good, in_flight = 600, 16
    latency = Uniform(0.02, 0.1)  # replies overtake each other: one that was on its way comes after a refusal
    limits = {"max_concurrency": in_flight}
    with job_against(tmp_path, texts(1000), limits=limits, latency=latency) as (server, job):
        From(server, good, "forbidden")
        with pytest.raises(KeyRefusedError):
            await run_job(job.config(), clock=quick(10))
        assert good < len(chats(server)) <= good + in_flight + CONTROLS


async def test_a_key_refused_with_403_loses_next_to_no_row_though_only_one_is_asked_at_a_time(
    tmp_path: Path,
) -> None:
    rows, good = texts(60), 5
    with job_against(tmp_path, rows, limits={"max_concurrency": 1}, latency=Fixed(0.02)) as (server, job):
        fault = From(server, good, "forbidden")
        with pytest.raises(KeyRefusedError):
            await run_job(job.config(), clock=quick(1000))  # each reply takes 20 s
        fault.end()
        result = await run_job(job.config())
        assert result.failed < CONFIRMATIONS
        assert violations(job, server) == []


async def test_one_403_about_a_text_costs_that_row_alone(tmp_path: Path) -> None:
    rows = texts(300)
    with job_against(tmp_path, rows) as (server, job):
        server.when(lambda text: text == rows[150], "forbidden")
        result = await run_job(job.config(), clock=quick(20))
        assert (result.ok, result.failed) == (len(rows) - 1, 1)
        assert violations(job, server) == []


def test_a_certificate_that_nobody_trusts_ends_the_run_before_any_request(
    tmp_path: Path, launcher: Launcher, untrusted: ssl.SSLContext
) -> None:
    with FaultServer(tls=untrusted) as server:
        job = JobFiles(tmp_path, server.base_url)
        job.table(texts(50))
        ended = launcher.start("run", str(job.config_file()), "--quiet").wait()
        assert (ended.status, server.requests) == (78, 0)
        assert "certificate" in ended.err
