"""An object appears at one instant, once it may; and a lease has one holder, whatever is lost on the way."""

import os
from pathlib import Path
from threading import Event, Thread

import pytest

from pipeline import storage
from pipeline.errors import LockedError
from pipeline.job.fence import Fence
from pipeline.storage import Both, lease
from pipeline.storage.lease import Lease
from pipeline.system.clock import Clock
from pipeline.system.lock import Lock
from pipeline.system.places import ObjectPath
from tests.objectstore.jobs import until
from tests.objectstore.proxy import LOST, SLOW_DOWN, Proxy
from tests.objectstore.server import Bucket

SIZES = {"one request": 1_000, "many requests": 20 << 20}


class Refused(Exception):  # noqa: N818 - stands for whatever keeps an output from appearing
    """Raised right before an object appears."""


def refuse() -> None:
    raise Refused


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_nothing_appears_if_the_last_check_fails(bucket: Bucket, size: int) -> None:
    with pytest.raises(Refused), storage.replacing(ObjectPath(bucket.url("x")), before_rename=refuse) as file:
        file.write_bytes(b"x" * size)
    assert bucket.names() == []


def test_a_folder_is_not_touched_if_the_first_check_fails(bucket: Bucket) -> None:
    bucket.put("days/_SUCCESS", b"")
    bucket.put("days/a", b"old")
    place = ObjectPath(bucket.url("days"))
    with pytest.raises(Refused), storage.replacing_folder(place, before_rename=refuse) as folder:
        (folder / "a").write_text("new")
    assert bucket.names() == ["days/_SUCCESS", "days/a"]
    assert bucket.get("days/a") == b"old"


@pytest.mark.parametrize("fault", [LOST, SLOW_DOWN])
@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_an_object_is_whole_although_the_reply_to_its_last_request_is_lost(
    behind: Bucket, proxy: Proxy, size: int, fault: str
) -> None:
    proxy.fault = lambda call: (
        fault if call.number <= 2 and ("uploadId" in call.query or call.method == "PUT") else None
    )
    content = bytes(range(256)) * (size // 256)
    with storage.replacing(ObjectPath(behind.url("x"))) as file:
        file.write_bytes(content)
    assert behind.get("x") == content


def test_one_of_many_who_want_a_lease_at_once_gets_it(bucket: Bucket) -> None:
    place, over = ObjectPath(bucket.url("lock")), Event()
    won: list[int] = []
    lost: list[str] = []

    def want(number: int) -> None:
        try:
            with Lease(place, "it", "output.path", str(number)).held():
                won.append(number)
                over.wait(60)
        except LockedError as error:
            lost.append(str(error))

    threads = [Thread(target=want, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: len(lost) == 7)
    over.set()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert all("in use by process" in each for each in lost)


def test_a_lease_that_was_taken_over_is_lost_for_good(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ObjectPath(bucket.url("lock"))
    first, second = Lease(place, "it", "output.path", "state"), Lease(place, "it", "output.path", "state")
    with first.held():
        first.ensure_held()
        with second.held():  # of the same state directory, whose lock it holds: so the first one has died
            monkeypatch.setattr(lease, "now", lambda now=lease.now: now() + 60)  # the first one was asleep
            with pytest.raises(LockedError, match="was taken over"):
                first.ensure_held()
    assert not first.is_fresh


def test_the_processes_of_a_holder_see_that_it_has_lost_its_lease(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getppid", os.getpid)  # as one of them sees it
    place = ObjectPath(bucket.url("lock"))
    first, second = Lease(place, "it", "output.path", "state"), Lease(place, "it", "output.path", "state")
    with first.held():
        found = Fence(Clock(), Both(Lock(tmp_path / "lock", "it", ""), first)).leashes(tmp_path)[-1]
        found.ensure_held()
        with second.held():
            monkeypatch.setattr(lease, "now", lambda now=lease.now: now() + 60)  # the first one was asleep
            with pytest.raises(LockedError):
                first.ensure_held()
        with pytest.raises(LockedError, match="whose run this is"):
            found.ensure_held()


def test_a_lease_that_was_silent_for_long_is_taken_over_and_one_that_is_renewed_is_not(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.2)
    monkeypatch.setattr(lease, "WATCH_SECONDS", 0.1)
    place = ObjectPath(bucket.url("lock"))
    with (
        Lease(place, "it", "output.path", "a").held(),
        pytest.raises(LockedError, match="in use by"),
        Lease(place, "it", "output.path", "b").held(),
    ):
        pass
    killed = Lease(place, "it", "output.path", "a")
    killed._acquire()
    with Lease(place, "it", "output.path", "b").held():
        assert bucket.names() == ["lock"]
    assert bucket.names() == []


def test_all_replies_may_be_lost_for_a_while_and_a_lease_is_still_its_holders(
    behind: Bucket, proxy: Proxy
) -> None:
    held = Lease(ObjectPath(behind.url("lock")), "it", "output.path", "a")
    with held.held():
        seen, held._renewed_at = held._seen, 0.0
        held._renew()
        held._seen, held._renewed_at = seen, 0.0  # as if neither a reply nor what is there had come through
        held.ensure_held()
    assert proxy.count("PUT", "lock") >= 4
