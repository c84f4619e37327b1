"""What concerns all rows stops the run and leaves them open; what concerns one row costs that row alone."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faultserver.faults import FAULTS, Call
from tests.faultserver.http1 import Response, Wire
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, asked, last_line, right_label, texts

Answer = Callable[[Call], Response | Wire]

BUDGET = {
    "error": {
        "message": "Budget has been exceeded! Current cost: 0.0601, Max budget: 0.06",
        "type": "budget_exceeded",
        "code": "422",
    }
}
MODEL = {
    "error": {
        "message": "400: Invalid model name passed in model=test-model. Call `/v1/models`",
        "code": "400",
    }
}


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(label_for=right_label) as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    return JobFiles(tmp_path, server.base_url)


def says(status: int, body: object) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: Response(status, data)


class After:
    """Answers so many requests rightly, and then the others otherwise, until it is mended."""

    def __init__(self, server: FaultServer, good: int, otherwise: Answer, times: int = 10**6) -> None:
        self._good, self._otherwise, self._times = good, otherwise, times
        self._lock = threading.Lock()
        server.when(lambda _: True, self._behave)

    def mend(self) -> None:
        self._times = 0

    def _behave(self, call: Call) -> Response | Wire:
        with self._lock:
            self._good -= 1
            if self._good >= 0 or self._times <= 0:
                return call.right()
            self._times -= 1
        return self._otherwise(call)


def labels_are_right(job: JobFiles, rows: list[str]) -> bool:
    return job.labelled()["label"].to_list() == [right_label(text) for text in rows]


@pytest.mark.slow
def test_a_gateways_spent_budget_leaves_rows_open_that_are_labelled_once_it_is_raised(
    server: FaultServer, job: JobFiles
) -> None:
    rows = texts(240)
    job.table(rows)
    spent = After(server, 60, says(422, BUDGET))
    ended = job.run()
    assert ended.returncode == 77
    assert "Budget has been exceeded" in ended.stderr
    assert not job.output.exists()
    spent.mend()
    assert job.run().returncode == 0
    assert labels_are_right(job, rows)
    assert server.repeats() == {}
    assert server.billed == 240


def test_an_unknown_model_in_a_job_of_ten_rows_leaves_the_good_output_in_place(
    server: FaultServer, job: JobFiles
) -> None:
    job.table(texts(10))
    assert job.run().returncode == 0
    good = job.output.read_bytes()
    unknown = After(server, 0, says(400, MODEL))
    job.set(model={"name": "another-model"})
    ended = job.run()
    assert ended.returncode == 78
    assert "Invalid model name" in ended.stderr
    assert job.output.read_bytes() == good
    unknown.mend()
    assert job.run().returncode == 0
    assert last_line(job.run())["ok"] == 10


@pytest.mark.parametrize(
    "otherwise",
    [
        says(404, b"<html><h1>404 Not Found</h1></html>"),
        FAULTS["redirect_307"].act,
        FAULTS["insufficient_credits"].act,
        says(499, {"error": {"message": "The operation was cancelled."}}),
        says(400, b"<html><h1>400 Bad Request</h1></html>"),
    ],
)
def test_one_such_reply_among_good_ones_costs_nothing(
    server: FaultServer, job: JobFiles, otherwise: Answer
) -> None:
    rows = texts(200)
    job.table(rows)
    After(server, 100, otherwise, times=1)
    assert job.run().returncode == 0
    assert labels_are_right(job, rows)
    assert len(asked(server)) == 201


def test_twenty_rows_that_are_too_long_at_the_start_of_a_sorted_table_do_not_end_the_run(
    server: FaultServer, job: JobFiles
) -> None:
    rows = texts(300)
    job.table(rows)
    too_long = set(rows[:20])
    message = "This model's maximum context length is 4096 tokens"
    server.when(too_long.__contains__, says(400, {"error": {"message": message}}))
    ended = job.set(limits={"max_failed": "10%"}).run()
    assert ended.returncode == 0
    assert job.labelled()["label_status"].to_list() == ["too_long"] * 20 + ["ok"] * 280


@pytest.mark.parametrize("rows", [1, 200])
def test_a_login_page_of_status_200_is_told_within_seconds_and_not_waited_for(
    server: FaultServer, job: JobFiles, rows: int
) -> None:
    job.table(texts(rows))
    After(server, 0, says(200, b"<html><title>Sign in</title><form>...</form></html>"))
    ended = job.run()
    assert ended.returncode == 78
    assert "model.base_url" in ended.stderr
    assert len(asked(server)) <= 22


def test_a_poisoned_row_among_good_ones_is_final_and_the_run_is_done(
    server: FaultServer, job: JobFiles
) -> None:
    rows = texts(200)
    job.table(rows)
    server.when(rows[100].__eq__, says(400, {"error": {"message": "I dislike this text"}}))
    assert job.run().returncode == 0
    labelled = job.labelled()
    assert labelled["label_status"].to_list().count("error") == 1
    assert "I dislike this text" in labelled["label_error"][100]
    before = len(asked(server))
    assert job.set(limits={"max_failed": 0}).run().returncode == 1
    assert len(asked(server)) == before
    job.run("--retry", "error")
    assert set(asked(server)[before:]) <= {rows[100], "This is a test."}


def test_a_model_that_never_names_a_label_is_found_out_after_a_few_paid_replies(
    server: FaultServer, job: JobFiles
) -> None:
    job.table(texts(2000))
    server.when(lambda _: True, lambda call: replace(FAULTS["prose"].act(call), delay=0.05))
    # Slowly, as what is paid until answers are on the disk is a matter of the disk.
    ended = job.set(limits={"max_concurrency": 8}).run()
    assert ended.returncode == 78
    assert "paid answers are unusable" in ended.stderr
    assert server.billed < 400
    # They are kept: the run that is told to go on pays for the rest.
    assert job.set(limits={"max_concurrency": 64, "max_failed": "100%"}).run().returncode == 0
    assert set(job.labelled()["label_status"]) == {"invalid"}
    assert server.billed == 2 * 2000


@pytest.mark.slow
def test_chunks_that_all_wait_for_refused_rows_do_not_wait_for_ever(
    server: FaultServer, job: JobFiles
) -> None:
    rows = texts(9)
    (job.folder / "in").mkdir()
    for number, text in enumerate(rows):  # a chunk each, of which few are open at once
        job.table([text], f"in/{number:02}.parquet")
    job.set(input={"path": "in"}, output={"path": "out"}, limits={"max_failed": "100%"})
    poisoned = set(rows[:-1])
    server.when(poisoned.__contains__, says(400, {"error": {"message": "I dislike this text"}}))
    ended = job.run()
    assert ended.returncode == 0
    assert (last_line(ended)["ok"], last_line(ended)["failed"]) == (1, 8)
