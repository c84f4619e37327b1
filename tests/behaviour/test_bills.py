"""What was billed without an answer is never forgotten: neither by the rows' bills, nor by a budget, however a run ends."""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from pipeline.servers.simulator.response import Response, refuse
from tests.faultserver.faults.call import Call
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, command, last_line, right_label, texts

ROWS = [15 * text for text in texts(48)]
KINDS = 4
"""Every fourth row gets a good reply at once; the others are billed for something else, and then refused."""

PRICE = {"input": 100, "output": 200}
"""US dollars for a million tokens."""


class Wasteful:
    """An endpoint that bills the first reply to most rows, which is no answer, and refuses them until it is let go.

    Attributes:
        let_go: Whether all rows get their answers from now on.
        closed: Whether nothing is answered, and so nothing billed, from now on.
    """

    def __init__(self) -> None:
        self.let_go = self.closed = False
        self.seen: Counter[str] = Counter()

    def __call__(self, call: Call) -> Response:
        if self.closed and not self.let_go:
            return refuse(429, "Too many requests", headers=(("retry-after", "60"),))
        self.seen[call.ask.text] += 1
        row = int(call.ask.text.split()[1])
        number = row % KINDS
        right = call.reply(call.content)
        if number and self.seen[call.ask.text] == 1:
            choice = right.body["choices"][0]
            if number == 1:
                right.body["choices"] = []
            elif row == 2:  # cut while it was thinking
                choice["message"]["content"], choice["finish_reason"] = None, "length"
            else:
                choice["message"]["content"] = "I would rather not say."
            return right.response()
        if number and not self.let_go:
            return refuse(429, "Too many requests", headers=(("retry-after", "60"),))
        return right.response()


@pytest.fixture
def wasteful() -> Wasteful:
    return Wasteful()


@pytest.fixture
def server(wasteful: Wasteful) -> Iterator[FaultServer]:
    with FaultServer(FaultServerSettings(latency=Fixed(0.01)), label_for=right_label) as server:
        server.when(lambda _: True, wasteful)
        yield server


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    job = JobFiles(tmp_path, server.base_url)
    job.table(ROWS)
    return job.set(model={"price": PRICE})


def tokens(server: FaultServer) -> tuple[int, int]:
    return server.log.prompt_tokens, server.log.completion_tokens


def usd(server: FaultServer) -> float:
    prompt, completion = tokens(server)
    return (prompt * PRICE["input"] + completion * PRICE["output"]) / 1e6


def told(job: JobFiles) -> dict[str, float]:
    """What `status` tells."""
    return last_line(command("status", str(job.config_file())))


def started(job: JobFiles, server: FaultServer) -> subprocess.Popen[str]:
    """Start the run, and wait until many rows were billed."""
    process = job.start("--quiet")
    try:
        wait_until(lambda: server.billed >= 12)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def terminated(job: JobFiles, server: FaultServer) -> None:
    process = started(job, server)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 75, out + err


def test_a_run_that_is_stopped_between_retries_knows_what_it_was_billed_for(
    job: JobFiles, server: FaultServer, wasteful: Wasteful
) -> None:
    terminated(job, server)
    found = told(job)
    assert found["answers"] < len(ROWS)
    assert (found["prompt_tokens"], found["completion_tokens"]) == tokens(server)
    assert found["cost_usd"] == pytest.approx(usd(server))

    wasteful.let_go = True
    done = job.run("--quiet")
    assert done.returncode == 0, done.stderr
    labelled = job.labelled()
    assert labelled["label"].to_list() == [right_label(text) for text in ROWS]
    assert (labelled["prompt_tokens"].sum(), labelled["completion_tokens"].sum()) == tokens(server)
    found = told(job)
    assert found["answers"] == len(ROWS)
    assert (found["prompt_tokens"], found["completion_tokens"]) == tokens(server)
    for cost in (found["cost_usd"], last_line(done)["cost_usd"], labelled["cost_usd"].sum()):
        assert cost == pytest.approx(usd(server))


def test_a_killed_run_knows_what_was_committed_before(
    job: JobFiles, server: FaultServer, wasteful: Wasteful
) -> None:
    process = started(job, server)
    try:
        wasteful.closed = True
        wait_until(lambda: not server.in_flight and told(job)["prompt_tokens"] == server.log.prompt_tokens)
    finally:
        process.kill()
        process.communicate()
    wasteful.let_go = True
    done = job.run("--quiet")
    assert done.returncode == 0, done.stderr
    assert last_line(done)["cost_usd"] == pytest.approx(usd(server))


def test_a_budget_holds_over_both_executions(job: JobFiles, server: FaultServer, wasteful: Wasteful) -> None:
    terminated(job, server)
    wasteful.let_go = True
    spent = usd(server)
    most = spent + 0.6  # of the 0.8 that the rows without an answer cost
    job.set(limits={"max_cost_usd": most})
    done = job.run("--quiet")
    assert done.returncode == 75, done.stderr
    assert spent < usd(server) <= most
    assert told(job)["cost_usd"] == pytest.approx(usd(server))


def test_what_an_unfinished_row_has_cost_is_explained(job: JobFiles, server: FaultServer) -> None:
    terminated(job, server)
    found = last_line(command("explain", str(job.config_file()), "1"))
    assert found["status"] == "no answer yet"
    assert found["cost_usd"] > 0
