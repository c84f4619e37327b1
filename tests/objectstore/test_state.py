"""State in a bucket: an empty machine goes on where another was killed, and two at once never work with it."""

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipeline import storage
from pipeline.errors import DiskError, LockedError
from pipeline.job.remote import shipping
from pipeline.job.remote.segments import last_id
from pipeline.job.remote.session import look_at, stored_state
from pipeline.ledger.opening import open_store
from pipeline.storage.lease import Lease
from pipeline.system.places import ObjectPath
from tests.answers import answer
from tests.faultserver.server import FaultServer
from tests.jobs import asked, last_line, texts
from tests.objectstore.jobs import Machine, StoredJob, all_right, end, until
from tests.objectstore.proxy import FORBIDDEN, LOST, SLOW_DOWN, Proxy
from tests.objectstore.server import Bucket


@pytest.fixture
def kept(stored: StoredJob) -> StoredJob:
    stored.set(state={"dir": stored.bucket.url("state/tags")}, limits={"max_concurrency": 8})
    return stored


@pytest.mark.slow
def test_a_finished_job_is_found_finished_on_an_empty_machine(kept: StoredJob, server: FaultServer) -> None:
    kept.store(texts(100))
    first = Machine(kept, "a").run()
    assert first.returncode == 0, first.stderr
    again = Machine(kept, "b").run()
    assert last_line(again)["again"] is True
    assert last_line(again)["run_id"] == last_line(first)["run_id"]
    assert len(asked(server)) == 100


LATENCY, AT_ONCE = 0.1, 8
ROWS = 1_600
"""They take 20 s."""


@pytest.fixture
def long(tmp_path: Path, slow_server: FaultServer, behind: Bucket) -> StoredJob:
    """A job of twenty seconds, behind the proxy."""
    job = StoredJob(tmp_path, slow_server.base_url, behind)
    job.set(state={"dir": behind.url("state/tags")}, limits={"max_concurrency": AT_ONCE})
    job.store(texts(ROWS))
    return job


@pytest.mark.slow
def test_an_empty_machine_goes_on_where_one_was_killed_and_asks_five_seconds_again_at_most(
    long: StoredJob, slow_server: FaultServer, record_property: Callable[[str, object], None]
) -> None:
    first = Machine(long, "a").start()
    until(lambda: slow_server.requests >= ROWS // 2)
    end(first, signal.SIGKILL)
    killed = time.monotonic()
    before = len(asked(slow_server))
    done = Machine(long, "b").run()
    assert done.returncode == 0, done.stderr
    record_property("most seconds until an empty machine was done", time.monotonic() - killed)
    assert all_right(long.published())
    assert long.published()["label_run"].n_unique() == 1
    again = len(asked(slow_server)) - ROWS
    record_property("most asked again", again)
    assert again <= AT_ONCE + 5 / LATENCY * AT_ONCE
    assert again < before


@pytest.mark.slow
def test_of_two_machines_at_once_one_works_and_the_other_names_it(
    long: StoredJob, slow_server: FaultServer
) -> None:
    machines = [Machine(long, name) for name in "ab"]
    running = [machine.start() for machine in machines]
    ended = [process.communicate(timeout=120) for process in running]
    statuses = [process.returncode for process in running]
    assert sorted(statuses) == [0, 75]
    loser = ended[statuses.index(75)][1]
    assert "in use by process" in loser
    assert len(asked(slow_server)) == ROWS
    assert all_right(long.published())


@pytest.mark.slow
def test_a_machine_that_was_asleep_ships_what_it_paid_for_and_sends_nothing_more(
    long: StoredJob, slow_server: FaultServer
) -> None:
    first = Machine(long, "a").start()
    until(lambda: slow_server.requests >= ROWS // 4)
    first.send_signal(signal.SIGSTOP)
    time.sleep(2 * LATENCY)
    asleep = len(asked(slow_server))
    second = Machine(long, "b").start()
    until(lambda: len(asked(slow_server)) > asleep)  # it has waited for the lease to end
    seen = set(long.bucket.names("state/tags/seg"))
    status, err = end(first, signal.SIGCONT)
    assert status == 75, err
    assert "was taken over" in err
    shipped = set(long.bucket.names("state/tags/seg")) - seen
    assert any(name.startswith("state/tags/seg/00000001-") for name in shipped)
    _, err = second.communicate(timeout=120)
    assert second.returncode == 0, err
    assert all_right(long.published())
    # What both have asked about is what the first had in flight, or had not shipped, when it fell asleep.
    assert len(asked(slow_server)) - ROWS <= AT_ONCE + 5 / LATENCY * AT_ONCE


@pytest.mark.slow
def test_a_machine_that_is_stopped_gently_leaves_nothing_to_ask_again(
    long: StoredJob, slow_server: FaultServer
) -> None:
    first = Machine(long, "a").start()
    until(lambda: slow_server.requests >= ROWS // 4)
    status, err = end(first, signal.SIGTERM)
    assert status == 75, err
    done = Machine(long, "b").run()
    assert done.returncode == 0, done.stderr
    assert len(asked(slow_server)) == ROWS


@pytest.mark.slow
@pytest.mark.parametrize("fault", [SLOW_DOWN, LOST])
def test_a_run_outlives_a_store_that_is_away_for_half_a_minute(
    long: StoredJob, slow_server: FaultServer, proxy: Proxy, fault: str
) -> None:
    process = Machine(long, "a").start()
    until(lambda: slow_server.requests >= ROWS // 4)
    proxy.fault = lambda _: fault
    time.sleep(25)
    waiting = len(asked(slow_server))
    time.sleep(5)
    assert len(asked(slow_server)) <= waiting  # who may have lost the lease sends nothing
    proxy.fault = lambda _: None
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert len(asked(slow_server)) == ROWS
    assert all_right(long.published())


def test_many_segments_become_a_snapshot_and_what_was_in_them_is_in_it(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "MOST_SEGMENTS", 2)
    store, answers = ObjectPath(bucket.url("state")), [answer(number) for number in range(9)]
    for number in range(9):
        folder = tmp_path / str(number)  # another machine each time
        with stored_state(store, folder), closing(open_store(folder)) as ledger:
            ledger.append([answers[number]])
    names = bucket.names("state")
    assert len([name for name in names if name.endswith(".sqlite.zst")]) == 1
    assert len([name for name in names if name.endswith(".arrow")]) <= 2
    look_at(store, tmp_path / "last")
    with closing(open_store(tmp_path / "last")) as ledger:
        assert list(ledger.answers()) == answers


def test_where_a_snapshot_has_no_room_the_segments_stay_and_the_run_goes_on(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(shipping, "MOST_SEGMENTS", 0)
    monkeypatch.setattr(shipping, "take_snapshot", full)
    store = ObjectPath(bucket.url("state"))
    with stored_state(store, tmp_path / "here"), closing(open_store(tmp_path / "here")) as ledger:
        ledger.append([answer(1)])
    assert "its answers stay in many small objects: database or disk is full" in caplog.text
    look_at(store, tmp_path / "last")
    with closing(open_store(tmp_path / "last")) as ledger:
        assert list(ledger.answers()) == [answer(1)]


@pytest.mark.slow
def test_a_stopped_run_publishes_what_it_has_so_far(kept: StoredJob) -> None:
    kept.store(texts(300))
    kept.set(model={"price": {"input": 10, "output": 10}}, limits={"max_cost_usd": 0.05})
    stopped = Machine(kept, "a").run("run", "--partial")
    assert stopped.returncode == 75, stopped.stderr
    assert "of 300 rows are in " in stopped.stderr
    assert [name for name in kept.bucket.names("") if ".partial" in name and not name.endswith(".lock")]


def test_what_a_killed_run_has_left_on_a_machine_is_shipped_by_the_next_one(
    bucket: Bucket, tmp_path: Path
) -> None:
    store, here = ObjectPath(bucket.url("state")), tmp_path / "here"
    with stored_state(store, here):
        pass
    with closing(open_store(here)) as ledger:  # as if killed before it could ship
        ledger.append([answer(1)])
    with stored_state(store, tmp_path / "there"), closing(open_store(tmp_path / "there")) as ledger:
        ledger.append([answer(2)])
    with stored_state(store, here):
        pass
    look_at(store, tmp_path / "last")
    with closing(open_store(tmp_path / "last")) as ledger:
        assert {each.key for each in ledger.answers()} == {answer(1).key, answer(2).key}


def test_a_store_that_cannot_be_written_at_the_end_is_said_and_the_answers_stay(
    behind: Bucket, proxy: Proxy, tmp_path: Path
) -> None:
    store, here = ObjectPath(behind.url("state")), tmp_path / "here"

    def work() -> None:
        with stored_state(store, here), closing(open_store(here)) as ledger:
            ledger.append([answer(1)])
            proxy.fault = lambda call: FORBIDDEN if "seg/" in call.key else None

    with pytest.raises(DiskError, match="the next run on this machine ships them"):
        work()
    proxy.fault = lambda _: None
    with stored_state(store, here):
        pass
    assert len(behind.names("state/seg")) == 1


def test_a_lease_that_somebody_has_removed_costs_no_answers(bucket: Bucket, tmp_path: Path) -> None:
    store = ObjectPath(bucket.url("state"))
    for number in range(3):
        with (
            stored_state(store, tmp_path / str(number)),
            closing(open_store(tmp_path / str(number))) as ledger,
        ):
            ledger.append([answer(number)])
        storage.remove(store / "lease.json")
    look_at(store, tmp_path / "last")
    with closing(open_store(tmp_path / "last")) as ledger:
        assert {each.key for each in ledger.answers()} == {answer(number).key for number in range(3)}


def test_a_segment_that_is_fetched_twice_adds_its_answers_once(bucket: Bucket, tmp_path: Path) -> None:
    store, there = ObjectPath(bucket.url("state")), tmp_path / "there"
    with stored_state(store, tmp_path / "here"), closing(open_store(tmp_path / "here")) as ledger:
        ledger.append([answer(number) for number in range(3)])
    for _ in range(2):
        with stored_state(store, there):
            pass
        (there / ".copied.json").unlink()  # as if killed before that was saved
    assert last_id(there) == 3


def test_small_files_go_along_and_one_that_is_removed_is_gone_everywhere(
    bucket: Bucket, tmp_path: Path
) -> None:
    store, name = ObjectPath(bucket.url("state")), "decisions/calibration.json"
    for machine in "ab":
        (tmp_path / machine).mkdir(mode=0o700)
    with stored_state(store, tmp_path / "a"):
        (tmp_path / "a/decisions").mkdir()
        (tmp_path / "a" / name).write_text("one")
    with stored_state(store, tmp_path / "b"):
        assert (tmp_path / "b" / name).read_text() == "one"
        (tmp_path / "b" / name).write_text("another")
    with stored_state(store, tmp_path / "a"):
        assert (tmp_path / "a" / name).read_text() == "another"
        (tmp_path / "a" / name).unlink()
    look_at(store, tmp_path / "b")
    assert not (tmp_path / "b" / name).exists()


def test_what_says_that_a_run_is_finished_is_shipped_although_the_store_was_just_away(
    bucket: Bucket, tmp_path: Path
) -> None:
    store = ObjectPath(bucket.url("state"))
    with stored_state(store, tmp_path / "a") as lease:
        (tmp_path / "a/run.json").write_text("published")
        assert isinstance(lease, Lease)
        lease._renewed_at = 0.0  # as if it could not be renewed for long
    with stored_state(store, tmp_path / "b"):
        assert (tmp_path / "b/run.json").read_text() == "published"


@pytest.mark.slow
def test_a_state_that_another_process_works_with_is_in_use_and_one_that_was_given_back_is_free(
    bucket: Bucket, tmp_path: Path
) -> None:
    store = ObjectPath(bucket.url("state"))
    with stored_state(store, tmp_path / "a"):
        with pytest.raises(LockedError, match="in use by process"), stored_state(store, tmp_path / "b"):
            pass
        with pytest.raises(LockedError, match="in use by process"), stored_state(store, tmp_path / "a"):
            pass
    with stored_state(store, tmp_path / "b"):
        pass


def test_check_says_that_the_bucket_of_the_state_is_missing(kept: StoredJob) -> None:
    kept.store(texts(20))
    kept.set(state={"dir": "s3://no-such-bucket-at-all/state"})
    for verb in ("check", "run"):
        done = kept.go(verb=verb)
        assert done.returncode == 73, done.stderr
        assert "there is no bucket no-such-bucket-at-all" in done.stderr


@pytest.mark.slow
def test_a_run_that_was_killed_does_not_keep_the_next_one_from_the_output_that_it_was_writing(
    long: StoredJob, slow_server: FaultServer, proxy: Proxy
) -> None:
    long.set(state={"dir": "state"})
    first = Machine(long, "a").start()
    until(lambda: slow_server.requests >= ROWS // 4)
    end(first, signal.SIGKILL)
    assert "out/.labelled.parquet.lock" in long.bucket.names("out")
    done = Machine(long, "b").run()
    assert done.returncode == 0, done.stderr
    assert long.bucket.names("out") == ["out/labelled.parquet"]
    # Had it waited for the lease to end, the proxy would have seen it look at it every second.
    assert proxy.count("GET", ".labelled.parquet.lock") <= 3
