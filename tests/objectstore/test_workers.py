"""`--workers` where the state or the output is in a bucket: the run holds the leases, and its processes heed them."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.storage.leash import FRESH_SECONDS
from tests.faultserver.server import FaultServer
from tests.jobs import asked, last_line, texts
from tests.objectstore.jobs import Machine, StoredJob, all_right, end, until
from tests.objectstore.server import Bucket
from tests.slices.compare import but_for_run_ids, distinct, with_duplicates

LATENCY, AT_ONCE = 0.4, 8
ROWS = 1_200
"""They take a minute."""
FEWER = 400


@pytest.fixture
def long(tmp_path: Path, slow_server: FaultServer, bucket: Bucket) -> StoredJob:
    job = StoredJob(tmp_path, slow_server.base_url, bucket)
    job.set(state={"dir": bucket.url("state/tags")}, limits={"max_concurrency": AT_ONCE})
    job.store(texts(ROWS))
    return job


@pytest.mark.slow
def test_workers_give_the_table_of_one_process_and_the_next_machine_has_their_answers(
    stored: StoredJob, server: FaultServer
) -> None:
    rows = with_duplicates(600)
    stored.store(rows)
    stored.set(state={"dir": "one"}, output={"path": stored.bucket.url("out/one.parquet")})
    assert Machine(stored, "one").run().returncode == 0
    sent = len(asked(server))
    stored.set(
        state={"dir": stored.bucket.url("state/tags")},
        output={"path": stored.bucket.url("out/three.parquet")},
    )
    done = Machine(stored, "three").run("run", "--workers", "3")
    assert done.returncode == 0, done.stderr
    assert len(asked(server)) == 2 * sent == 2 * distinct(rows)
    tables = [but_for_run_ids(stored.published(f"out/{name}.parquet")) for name in ("one", "three")]
    assert tables[0].equals(tables[1])
    stored.bucket.store.delete("out/three.parquet")
    again = last_line(Machine(stored, "empty").run())
    assert again["requests"] == 0
    assert len(asked(server)) == 2 * sent


@pytest.mark.slow
def test_a_machine_with_workers_that_is_killed_loses_five_seconds_of_answers_at_most(
    long: StoredJob, slow_server: FaultServer, record_property: Callable[[str, object], None]
) -> None:
    long.store(texts(FEWER))
    first = Machine(long, "a").start("run", "--workers", "2")
    until(lambda: slow_server.requests >= FEWER // 2)
    end(first, signal.SIGKILL)
    done = Machine(long, "b").run("run", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert all_right(long.published())
    again = len(asked(slow_server)) - FEWER
    record_property("asked again", again)
    assert again <= AT_ONCE + 5 / LATENCY * AT_ONCE


@pytest.mark.slow
@pytest.mark.parametrize("shared", ["the output", "the state"])
def test_the_workers_of_a_run_that_is_stopped_send_nothing_before_another_takes_over_and_nothing_after(
    long: StoredJob, slow_server: FaultServer, shared: str
) -> None:
    states = ["state-a", "state-b"] if shared == "the output" else [long.settings["state"]["dir"]] * 2
    long.set(state={"dir": states[0]})
    first = Machine(long, "a").start("run", "--workers", "2")
    until(lambda: slow_server.requests >= ROWS // 16)
    first.send_signal(signal.SIGSTOP)  # its workers go on, and are not told of anything
    long.set(state={"dir": states[1]})
    second = Machine(long, "b").start()
    time.sleep(FRESH_SECONDS + 5)  # by now they must have stopped, and the second cannot have begun
    quiet = len(asked(slow_server))
    until(lambda: len(asked(slow_server)) > quiet)
    second.send_signal(signal.SIGSTOP)  # so that whatever comes now is from the first
    time.sleep(2 * LATENCY)
    before = len(asked(slow_server))
    times = [entry.at for entry in slow_server.entries if entry.text]
    assert before < ROWS
    assert times[quiet] - times[quiet - 1] > 5  # they had stopped long before they had to
    status, err = end(first, signal.SIGCONT)
    assert status == 75, err
    assert len(asked(slow_server)) == before
    second.kill()
    second.communicate()
