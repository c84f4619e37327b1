"""What a 429 tells is kept, whatever it tells, and 429s become rare (fault 21)."""

import threading
import time
from collections.abc import Iterable
from email.utils import formatdate
from itertools import count, pairwise
from pathlib import Path
from random import Random

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.errors import ProviderUnavailableError
from pipeline.servers.simulator.log import Entry
from pipeline.servers.simulator.rate_limits import Rates
from pipeline.servers.simulator.settings import RateSettings, RetryAfter
from tests.faultserver.http1 import Response
from tests.faultserver.server import FaultServer
from tests.jobs import run_job, texts
from tests.llm.scripted import Call, Case, Sent, limits, said
from tests.llm.virtual_time import in_virtual_time
from tests.reliability.against import Pauses, at_first, chats, everybody, job_against, quick, raised
from tests.reliability.checker import Witness, violations

IN_FLIGHT = 8


def refusals(server: FaultServer) -> list[Entry]:
    """The 429s, and the 503s that mean the same."""
    return [entry for entry in chats(server) if entry.status in {429, 503}]


def undercut(server: FaultServer, seconds: float) -> list[Entry]:
    """The refusals within *seconds* of which their own row was asked again."""
    return [
        refused
        for refused in refusals(server)
        if any(entry.text == refused.text for entry in chats(server) if 0 < entry.at - refused.at < seconds)
    ]


def dated(seconds: float, **headers: str) -> Response:
    """A 429 that asks to come back after *seconds*, told as a date; with a Date of the server's own if it is given."""
    told = (("Retry-After", formatdate(time.time() + seconds, usegmt=True)), *headers.items())
    return Response(429, b'{"error": {"message": "Rate limit reached"}}', told, delay=0)


@pytest.mark.parametrize(
    ("name", "seconds"), [("rate_limit_seconds", 2.0), ("rate_limit_ms", 0.25), ("rate_limit_date", 2.0)]
)
async def test_a_wait_that_is_told_is_never_undercut_by_its_row(
    tmp_path: Path, name: str, seconds: float
) -> None:
    rows, speed = texts(200), 2 if seconds < 1 else 5
    limits = {"max_concurrency": IN_FLIGHT}
    with job_against(tmp_path, rows, limits=limits, latency=Fixed(0.005)) as (server, job):
        script = [None] * 200
        script[50] = script[120] = name
        server.script(script)
        result = await run_job(job.config(), clock=quick(speed))
        assert (result.failed, len(refusals(server))) == (0, 2)
        assert undercut(server, seconds / speed) == []
        assert violations(job, server) == []


async def test_a_date_is_measured_by_the_servers_own_clock(tmp_path: Path) -> None:
    """Its clock is an hour ahead, and it asks for three seconds."""
    with job_against(tmp_path, texts(20)) as (server, job):
        server.script([None, dated(3603, Date=formatdate(time.time() + 3600, usegmt=True))])
        result = await run_job(job.config(), clock=quick(10))
        assert result.failed == 0
        assert undercut(server, 0.2) == []


@pytest.mark.parametrize("name", ["rate_limit", "rate_limit_junk", "rate_limit_negative", "rate_limit_huge"])
async def test_without_a_wait_that_makes_sense_the_waits_are_our_own_and_grow(
    tmp_path: Path, name: str
) -> None:
    speed, pauses, rows = 300, Pauses(quick(300, lambda: 0.9)), texts(30)
    with job_against(tmp_path, rows, limits={"max_concurrency": 4}) as (server, job):
        at_first(server, rows[5:8], name, times=5)
        result = await run_job(job.config(), clock=pauses.clock)
        assert result.failed == 0
        for row in rows[5:8]:
            asks = [entry.at * speed for entry in chats(server) if entry.text == row]
            waits = [later - earlier for earlier, later in pairwise(asks)]
            assert [wait >= 0.9 * least for wait, least in zip(waits, [0.5, 1, 2, 4, 8], strict=True)] == [
                True
            ] * 5
        assert max(pauses.seconds) <= 30
        assert violations(job, server) == []


@pytest.mark.slow
@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_longer_than_max_outage_ends_the_run_at_once_and_the_next_one_continues(
    tmp_path: Path, status: int
) -> None:
    busy = Response(status, b'{"error": {"message": "come back"}}', (("Retry-After", "7200"),), delay=0)
    with job_against(tmp_path, texts(100), limits={"max_concurrency": IN_FLIGHT}) as (server, job):
        witness = Witness(job, lambda: server.entries)
        is_over, turn = threading.Event(), count()
        server.when(everybody, lambda call: call.right() if next(turn) < 50 or is_over.is_set() else busy)
        message = await raised(run_job(job.config()), ProviderUnavailableError)
        assert len(chats(server)) <= 50 + 2 * IN_FLIGHT
        assert "asks to wait 7200 s, longer than limits.max_outage (1800 s)" in message
        assert "come back" in message
        witness.execution_ended()

        is_over.set()
        assert (await run_job(job.config())).failed == 0
        witness.execution_ended()
        assert witness.verdict() == []
        assert server.repeats() == {}


async def test_a_503_that_tells_a_wait_holds_up_its_own_row_alone(tmp_path: Path) -> None:
    rows, speed = texts(100), 10
    with job_against(tmp_path, rows, limits={"max_concurrency": IN_FLIGHT}) as (server, job):
        body = b'{"error": {"message": "Service unavailable"}}'
        server.script([None] * 9 + [Response(503, body, (("Retry-After", "5"),))])
        result = await run_job(job.config(), clock=quick(speed))
        assert (result.failed, result.retries) == (0, 1)
        first, again = [entry.at for entry in chats(server) if entry.text == refused_row(server)]
        assert again - first >= 5 / speed
        others = [entry.at for entry in chats(server) if entry.text != refused_row(server)]
        assert max(others) < again


def refused_row(server: FaultServer) -> str:
    """The text of the row that was refused first."""
    return next(entry.text for entry in chats(server) if entry.status == 503)


def share_of_refusals(
    folder: Path, *, per_minute: float, seconds: float, headers: bool, told: RetryAfter, rows: int
) -> float:
    """Have an endpoint work with a rate that nobody was told; the share of 429s after the first third."""

    def shown(all_headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        lower = ((name.lower(), value) for name, value in all_headers)
        return {name: value for name, value in lower if headers or not name.startswith("x-ratelimit")}

    settings = RateSettings(requests_per_minute=per_minute, retry_after=told)
    rates, chance, refused = Rates(settings, 0.0), Random(1), []

    def behave(call: Call) -> Sent:
        refusal = rates.refusal(100, call.at)
        refused.append(refusal is not None)
        if refusal is not None:
            return Sent(429, refusal.body, shown(refusal.headers), 0.01)
        sent = shown(rates.headers())
        return said(seconds=seconds * chance.uniform(0.7, 1.3), headers=sent)

    async def main() -> None:
        case = Case(limits(folder, limits={"max_outage": "1d"}), behave)
        await case.run([f"row {number}" for number in range(rows)])
        assert len(case.answers) == rows

    in_virtual_time(main())
    adapted = refused[len(refused) // 3 :]
    return sum(adapted) / len(adapted)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("per_minute", "seconds", "rows"),
    [
        pytest.param(60, 0.5, 1500, id="one at a time is too many", marks=pytest.mark.slow),
        pytest.param(500, 0.5, 2000, id="4 at once", marks=pytest.mark.slow),
        pytest.param(500, 2, 2000, id="17 at once"),
        pytest.param(6000, 0.05, 3000, id="5 at once", marks=pytest.mark.slow),
        pytest.param(6000, 0.001, 6000, id="quick replies", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(("headers", "told"), [(True, "both"), (False, "ms"), (False, "none")])
def test_once_adapted_at_most_one_request_in_a_hundred_is_refused(
    tmp_path: Path, per_minute: float, seconds: float, rows: int, *, headers: bool, told: RetryAfter
) -> None:
    share = share_of_refusals(
        tmp_path, per_minute=per_minute, seconds=seconds, headers=headers, told=told, rows=rows
    )
    assert share <= 0.01


@pytest.mark.soak
@pytest.mark.parametrize(("headers", "told"), [(True, "both"), (False, "ms"), (False, "none")])
async def test_over_real_connections_too(tmp_path: Path, *, headers: bool, told: RetryAfter) -> None:
    rates = RateSettings(requests_per_minute=6000, retry_after=told)
    latency = Fixed(0.05)
    with job_against(tmp_path, texts(9000), rates=rates, rate_headers=headers, latency=latency) as (
        server,
        job,
    ):
        assert (await run_job(job.config())).failed == 0
        adapted = chats(server)[len(chats(server)) // 3 :]
        assert sum(entry.status == 429 for entry in adapted) <= 0.01 * len(adapted)
        assert violations(job, server) == []
