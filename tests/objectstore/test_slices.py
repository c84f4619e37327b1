"""Slices whose state is in a bucket: machines share nothing else, and each may be lost."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.slices import WHOLE, Slice
from pipeline.errors import UsageError
from pipeline.job.remote import cut as cutting
from pipeline.job.remote import recutting
from pipeline.job.remote.cut import count_in, cut
from pipeline.job.remote.recutting import recut
from pipeline.job.remote.session import look_at, stored_state
from pipeline.job.state import opened_state
from pipeline.ledger.opening import open_store
from pipeline.system.places import ObjectPath
from tests.answers import answer
from tests.faultserver.server import FaultServer
from tests.jobs import asked, command, last_line, texts
from tests.objectstore.jobs import Machine, StoredJob, all_right, end, until
from tests.objectstore.proxy import CONFLICT, LOST, SLOW_DOWN, Call, Proxy
from tests.objectstore.server import Bucket
from tests.slices.compare import but_for_run_ids, distinct, with_duplicates

LATENCY, AT_ONCE = 0.1, 8
ROWS = 1_600


@pytest.fixture
def kept(stored: StoredJob) -> StoredJob:
    stored.set(state={"dir": stored.bucket.url("state/tags")})
    return stored


@pytest.fixture
def long(tmp_path: Path, slow_server: FaultServer, bucket: Bucket) -> StoredJob:
    """A job of which each of two slices takes twenty seconds."""
    job = StoredJob(tmp_path, slow_server.base_url, bucket)
    job.set(state={"dir": bucket.url("state/tags")}, limits={"max_concurrency": 2 * AT_ONCE})
    job.store(texts(2 * ROWS))
    return job


def assembled(job: StoredJob, on: str = "assembler") -> Machine:
    machine = Machine(job, on)
    done = machine.run("assemble")
    assert done.returncode == 0, done.stderr
    return machine


@pytest.mark.slow
def test_machines_that_share_only_a_bucket_give_the_table_of_one_process(
    kept: StoredJob, server: FaultServer
) -> None:
    rows = with_duplicates(600)
    kept.store(rows)
    kept.set(state={"dir": "one"}, output={"path": kept.bucket.url("out/one.parquet")})
    one = last_line(Machine(kept, "one").run())
    sent = len(asked(server))
    assert sent == distinct(rows)

    kept.set(
        state={"dir": kept.bucket.url("state/tags")}, output={"path": kept.bucket.url("out/cut.parquet")}
    )
    said = []
    for index in range(3):
        done = Machine(kept, f"pod-{index}").run("run", "--slice", f"{index}/3")
        assert done.returncode == 0, done.stderr
        said.append(last_line(done))
    assert said[1]["output"] == kept.bucket.url("state/tags/slices/1-of-3")
    assert sum(each["requests"] for each in said) == distinct(rows)
    assert "out/cut.parquet" not in kept.bucket.names("out")
    machine = assembled(kept)
    assert len(asked(server)) == 2 * sent
    tables = [but_for_run_ids(kept.published(f"out/{name}.parquet")) for name in ("one", "cut")]
    assert tables[0].equals(tables[1])
    again = last_line(machine.run("assemble"))
    assert (again["again"], again["ok"]) == (True, one["ok"])


@pytest.mark.slow
def test_assemble_names_the_slices_that_have_not_begun_and_every_command_sees_all_slices(
    kept: StoredJob, server: FaultServer
) -> None:
    kept.store(texts(60))
    assert "has no slices" in kept.go(verb="assemble").stderr
    assert kept.go("--slice", "0/2").returncode == 0
    refused = kept.go(verb="assemble")
    assert refused.returncode == 75
    assert "slice 1 of 2: 1/2 has not begun" in refused.stderr
    assert kept.go("--slice", "1/2", "--dry-run").returncode == 0
    assert kept.go("--slice", "1/2").returncode == 0
    assert last_line(kept.go(verb="plan"))["requests"] == 0
    assert kept.go(verb="assemble").returncode == 0
    assert all_right(kept.published())
    assert len(asked(server)) == 60


def test_of_several_that_cut_a_state_at_once_one_decides(bucket: Bucket) -> None:
    store = ObjectPath(bucket.url("state"))
    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(partial(cut, store), range(2, 10)))
    assert found == {count_in(store)}


def test_who_has_waited_for_a_slice_that_was_cut_anew_meanwhile_works_with_none(
    kept: StoredJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutting, "cut", lambda *_: 2)  # as it was when it began to wait
    cutting.record(ObjectPath(kept.bucket.url("state/tags")), 3)
    with (
        pytest.raises(UsageError, match="is cut into 3 slices"),
        opened_state(kept.config(), Slice(0, 2)),
    ):
        pass


@pytest.mark.slow
def test_a_state_is_cut_once_and_the_sentences_name_the_ways_out(
    kept: StoredJob, server: FaultServer
) -> None:
    kept.store(texts(20))
    assert kept.go("--slice", "0/2").returncode == 0
    sent = len(asked(server))
    another = kept.go("--slice", "0/3")
    assert another.returncode == 2
    assert "is cut into 2 slices; `ledger reslice CONFIG 3`" in another.stderr
    whole = kept.go()
    assert whole.returncode == 2
    assert "assemble CONFIG" in whole.stderr
    kept.set(state={"dir": kept.bucket.url("state/whole")})
    assert kept.go("--limit", "5").returncode == 0
    cut = kept.go("--slice", "0/2")
    assert cut.returncode == 2
    assert "has a ledger that is not cut" in cut.stderr
    cluster = kept.go("--engine", "ray")
    assert cluster.returncode == 2
    assert "works with a state in a folder that all nodes share" in cluster.stderr
    assert len(asked(server)) == sent + 5


@pytest.mark.slow
def test_a_state_is_cut_anew_and_back_without_a_request_and_every_machine_sees_it(
    kept: StoredJob, server: FaultServer
) -> None:
    rows = with_duplicates(400)
    kept.store(rows)
    machines = [Machine(kept, name) for name in "ab"]
    assert machines[0].run().returncode == 0
    expected, sent = kept.published(), len(asked(server))
    for turn, count in enumerate((3, 2, 1)):
        here, there = machines[turn % 2], machines[1 - turn % 2]
        cut = here.run("ledger", "reslice", str(count))
        assert last_line(cut) == {"slices": count, "answers": sent}, cut.stderr
        kept.bucket.store.delete("out/labelled.parquet")
        for index in range(count) if count > 1 else ():
            done = there.run("run", "--slice", f"{index}/{count}")
            assert last_line(done)["requests"] == 0, done.stderr
        done = there.run("run" if count == 1 else "assemble")
        assert done.returncode == 0, done.stderr
        assert kept.published().equals(expected)
        assert last_line(here.run("ledger", "stats"))["answers"] == sent
    assert len(asked(server)) == sent
    names = kept.bucket.names("state/tags")
    assert not [name for name in names if "/slices/" in name and not name.endswith("/lease.json")]


@pytest.mark.slow
@pytest.mark.parametrize("at", ["deal", "record", "_clear"])
def test_a_cut_that_is_interrupted_loses_no_answer_and_is_done_the_next_time(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    store, answers = ObjectPath(bucket.url("state")), [answer(number) for number in range(50)]
    with stored_state(store, tmp_path / "a"), closing(open_store(tmp_path / "a")) as ledger:
        ledger.append(answers)
    before = getattr(recutting, at)

    def interrupted(*given: Any) -> Any:
        before(*given)
        raise KeyboardInterrupt

    for count, folder in ((3, "b"), (2, "c")):
        with monkeypatch.context() as patched:
            patched.setattr(recutting, at, interrupted)
            with pytest.raises(KeyboardInterrupt):
                recut(store, tmp_path / folder, count)
        assert recut(store, tmp_path / "other", count) == len(answers)
    assert recut(store, tmp_path / "last", 1) == len(answers)
    assert cut(store, 1) == WHOLE
    look_at(store, tmp_path / "empty")
    with closing(open_store(tmp_path / "empty")) as ledger:
        assert {each.key for each in ledger.answers()} == {each.key for each in answers}


@pytest.mark.slow
def test_the_one_slice_of_a_state_is_brought_back_as_others_are(bucket: Bucket, tmp_path: Path) -> None:
    store = ObjectPath(bucket.url("state"))
    assert cut(store, 1) == 1
    with (
        stored_state(store / "slices/0-of-1", tmp_path / "a"),
        closing(open_store(tmp_path / "a")) as ledger,
    ):
        ledger.append([answer(1)])
    assert recut(store, tmp_path / "b", 1) == 1
    assert count_in(store) == 0
    look_at(store, tmp_path / "c")
    with closing(open_store(tmp_path / "c")) as ledger:
        assert list(ledger.answers()) == [answer(1)]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [SLOW_DOWN, LOST, CONFLICT])
def test_slices_and_assembling_outlive_what_stores_do_on_bad_days(
    broken: StoredJob, server: FaultServer, proxy: Proxy, fault: str
) -> None:
    broken.store(texts(200))
    broken.set(state={"dir": broken.bucket.url("state/tags")})

    def meets(call: Call) -> str | None:
        """Break the first write of every object, and every fifth request for it; only writes with a condition conflict."""
        conditional = any(name in call.key for name in ("cut.json", "lease.json", "/seg/"))
        breaks = call.method == "PUT" and (call.number == 1 or call.number % 5 == 0)
        return fault if breaks and (conditional or fault != CONFLICT) else None

    proxy.fault = meets
    for index in range(2):
        done = Machine(broken, f"pod-{index}").run("run", "--slice", f"{index}/2")
        assert done.returncode == 0, done.stderr
    assembled(broken)
    assert all_right(broken.published())
    assert len(asked(server)) == 200


@pytest.mark.slow
def test_a_state_with_a_slice_at_work_is_not_cut_anew_and_one_without_a_ledger_neither(
    kept: StoredJob, tmp_path: Path
) -> None:
    kept.store(texts(3))
    store = ObjectPath(kept.bucket.url("state/tags"))
    assert cut(store, 2) == 2
    with stored_state(store / "slices/1-of-2", tmp_path / "elsewhere"):
        refused = command("ledger", "reslice", str(kept.config_file()), "3", env=kept.bucket.env)
        assert refused.returncode == 75
        assert "in use by process" in refused.stderr
    none = command("ledger", "reslice", str(kept.config_file()), "3", env=kept.bucket.env)
    assert none.returncode == 66
    assert count_in(store) == 2


@pytest.mark.slow
def test_a_slice_that_is_killed_goes_on_on_an_empty_machine_and_asks_five_seconds_again_at_most(
    long: StoredJob, slow_server: FaultServer, record_property: Callable[[str, object], None]
) -> None:
    first, second = (
        Machine(long, f"pod-{index}").start("run", "--slice", f"{index}/2") for index in range(2)
    )
    until(lambda: slow_server.requests >= ROWS)
    end(first, signal.SIGKILL)
    refused = Machine(long, "early").run("assemble")  # the other one is at work
    assert refused.returncode == 75
    assert "0/2 was interrupted" in refused.stderr
    assert "1/2 is at work as process" in refused.stderr
    done = Machine(long, "instead").run("run", "--slice", "0/2")
    assert done.returncode == 0, done.stderr
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    again = len(asked(slow_server)) - 2 * ROWS
    record_property("asked again", again)
    assert again <= AT_ONCE + 5 / LATENCY * AT_ONCE
    assembled(long)
    assert len(asked(slow_server)) - 2 * ROWS == again
    assert all_right(long.published())
    assert long.published()["label_run"].n_unique() == 2


@pytest.mark.slow
def test_of_two_machines_with_one_slice_one_works_and_the_other_names_it(
    long: StoredJob, slow_server: FaultServer
) -> None:
    running = [Machine(long, name).start("run", "--slice", "0/2") for name in "ab"]
    ended = [process.communicate(timeout=300) for process in running]
    statuses = [process.returncode for process in running]
    assert sorted(statuses) == [0, 75]
    assert "in use by process" in ended[statuses.index(75)][1]
    assert len(set(asked(slow_server))) == len(asked(slow_server)) < 1.2 * ROWS


@pytest.mark.slow
def test_a_slice_that_was_asleep_until_another_had_taken_over_sends_nothing_more(
    long: StoredJob, slow_server: FaultServer
) -> None:
    first = Machine(long, "a").start("run", "--slice", "0/2")
    until(lambda: slow_server.requests >= ROWS // 4)
    first.send_signal(signal.SIGSTOP)
    time.sleep(5 * LATENCY)
    asleep = len(asked(slow_server))
    second = Machine(long, "b").start("run", "--slice", "0/2")
    until(lambda: len(asked(slow_server)) > asleep)  # it has waited for the lease to end
    second.send_signal(signal.SIGSTOP)  # so that whatever comes now is from the first
    time.sleep(5 * LATENCY)
    before = len(asked(slow_server))
    status, err = end(first, signal.SIGCONT)
    assert status == 75, err
    assert "was taken over" in err
    assert len(asked(slow_server)) == before
    status, err = end(second, signal.SIGCONT)
    assert status == 0, err
    assert len(asked(slow_server)) - len(set(asked(slow_server))) <= AT_ONCE + 5 / LATENCY * AT_ONCE
