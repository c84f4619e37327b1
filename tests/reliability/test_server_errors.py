"""Statuses that say that it failed, and connections that break or fall silent (faults 20, 22 and 23)."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.faultserver.faults import Call
from tests.faultserver.http1 import End, Response, Wire
from tests.jobs import right_label, run_job, texts
from tests.reliability.against import at_first, chats, everybody, job_against, quick
from tests.reliability.checker import violations

ROWS = texts(60)
SPOILED = ROWS[::4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rate", "seed", "count", "most"),
    # With seed 27 one of the rows fails 32 times on end, which is chance and not the row.
    [(0.3, 6, 1000, 1.5), (0.7, 27, 400, 3.6)],
    ids=["30 %", "70 %"],
)
async def test_random_500s_cost_no_row_and_few_requests(
    tmp_path: Path, rate: float, seed: int, count: int, most: float
) -> None:
    rows = texts(count)
    settings = {"limits": {"max_concurrency": 16}, "seed": seed, "faults": {"http_500": rate}}
    with job_against(tmp_path, rows, **settings) as (server, job):
        result = await run_job(job.config(), clock=quick(200))
        assert result.failed == 0
        assert violations(job, server) == []
        assert len(chats(server)) <= most * len(rows)
        if rate > 0.5:
            assert max(Counter(entry.text for entry in chats(server) if entry.text in rows).values()) == 33


@pytest.mark.parametrize(
    "name", ["http_408", "http_409", "http_500", "http_502", "http_503", "html_502", "overloaded"]
)
async def test_a_status_that_says_try_again_is_tried_again(tmp_path: Path, name: str) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        at_first(server, SPOILED, name, times=2)
        result = await run_job(job.config(), clock=quick(100))
        assert (result.failed, result.retries) == (0, 2 * len(SPOILED))
        assert violations(job, server) == []
        assert server.repeats() == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hang", "headers_only", "drip"])
async def test_a_slot_that_hangs_comes_back_at_the_timeout(tmp_path: Path, name: str) -> None:
    limits = {"max_concurrency": 8, "request_timeout": 0.3}
    with job_against(tmp_path, ROWS, limits=limits) as (server, job):
        at_first(server, ROWS[20:36], name)
        async with asyncio.timeout(60):
            result = await run_job(job.config(), clock=quick(100))
        assert (result.failed, result.retries) == (0, 16)
        assert violations(job, server) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hang", "headers_only", "drip"])
async def test_a_row_that_hangs_again_and_again_does_not_hold_up_the_others(
    tmp_path: Path, name: str
) -> None:
    limits = {"max_concurrency": 2, "request_timeout": 0.3, "max_outage": "12m"}
    with job_against(tmp_path, ROWS, limits=limits) as (server, job):
        server.when(lambda text: text == ROWS[5], name)
        result = await run_job(job.config(), clock=quick(100))
        assert (result.ok, result.failed) == (len(ROWS) - 1, 1)
        assert "no whole reply within 0.3 s" in job.labelled()["label_error"][5]


CUT_CHUNKS = Wire(
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n18\r\n" + b'{"choices": [{"message": ' + b"\r\n",
    end=End.FIN,
    status=200,
)
BREAKS = ["reset_mid_body", "fin_mid_body", "no_content_length", "stale_keepalive", "drop"]


@pytest.mark.parametrize("name", BREAKS)
async def test_a_connection_that_breaks_gives_no_wrong_label(tmp_path: Path, name: str) -> None:
    with job_against(tmp_path, ROWS, seed=4, faults={name: 0.4}, limits={"max_concurrency": 8}) as (
        server,
        job,
    ):
        result = await run_job(job.config(), clock=quick(100))
        assert result.failed == 0
        assert server.log.reasons[name] > 10
        assert violations(job, server) == []


async def test_chunks_that_end_early_are_no_reply(tmp_path: Path) -> None:
    with job_against(tmp_path, ROWS) as (server, job):
        server.script([None, *[CUT_CHUNKS] * 5])
        result = await run_job(job.config(), clock=quick(100))
        assert (result.failed, result.retries) == (0, 5)
        assert violations(job, server) == []


async def test_a_body_cut_anywhere_gives_no_wrong_label(tmp_path: Path) -> None:
    cut: dict[str, int] = {}

    def behave(call: Call) -> Response | Wire:
        right, at = call.right(), 2 * len(cut) + 1
        if call.ask.text in cut or at >= len(right.body):
            return right
        cut[call.ask.text] = at
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
        return Wire(head + right.body[:at], end=End.FIN, status=200, billed=right.billed)

    rows = texts(400)
    with job_against(tmp_path, rows, limits={"max_concurrency": 16}) as (server, job):
        server.when(everybody, behave)
        result = await run_job(job.config(), clock=quick(500))
        assert result.failed == 0
        assert job.labelled()["label"].to_list() == [right_label(text) for text in rows]
        assert 200 < len(cut) == result.retries
