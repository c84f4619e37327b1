"""What stores do on bad days: refuse, cut transfers, lose replies after the write, take their time, keep silent."""

from collections.abc import Callable, Iterator

import pytest

from pipeline.storage import client, conditional, lease
from pipeline.system.places import ObjectPath
from tests.jobs import asked, last_line, some_rows, texts
from tests.objectstore.jobs import StoredJob, all_right
from tests.objectstore.proxy import CONFLICT, CUT, FORBIDDEN, HANG, LOST, SLOW_DOWN, Call, Fault, Proxy
from tests.objectstore.server import Bucket


def first_times(fault: str, times: int, *methods: str, key: str = "") -> Fault:
    """The first so many requests with one of the methods, for each key, meet *fault*."""
    return lambda call: fault if call.method in methods and key in call.key and call.number <= times else None


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        first_times(SLOW_DOWN, 3, "GET", "PUT", "HEAD"),
        first_times(CUT, 2, "GET", key="in/"),
        first_times(LOST, 1, "PUT"),
        first_times(LOST, 1, "DELETE", "POST"),
        first_times(CONFLICT, 2, "PUT"),
    ],
    ids=["503", "cut", "lost", "lost delete", "409"],
)
def test_a_run_goes_through_what_stores_do_on_bad_days(broken: StoredJob, proxy: Proxy, fault: Fault) -> None:
    broken.store(some_rows(200))
    proxy.fault = fault
    done = broken.go()
    assert done.returncode == 0, done.stderr
    assert all_right(broken.published())
    assert broken.bucket.names("out") == ["out/labelled.parquet"]


@pytest.mark.slow
def test_a_store_that_is_slow_is_waited_for(broken: StoredJob, proxy: Proxy) -> None:
    broken.store(texts(50))
    proxy.delay = 0.1
    assert broken.go().returncode == 0
    assert all_right(broken.published())


def test_a_folder_is_complete_although_every_reply_to_a_write_is_lost_once(
    broken: StoredJob, proxy: Proxy
) -> None:
    for name in ("a", "b"):
        broken.store(texts(20), f"in/{name}.parquet")
    broken.set(input={"path": broken.bucket.url("in")}, output={"path": broken.bucket.url("out/days")})
    proxy.fault = first_times(LOST, 1, "PUT", "POST", "DELETE")
    assert broken.go().returncode == 0
    assert broken.bucket.names("out") == ["out/days/_SUCCESS", "out/days/a.parquet", "out/days/b.parquet"]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Time limits of a second or two."""
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
    monkeypatch.setattr(client, "RETRY_SECONDS", 1.0)
    client._opened.cache_clear()
    yield
    client._opened.cache_clear()


@pytest.mark.slow
@pytest.mark.usefixtures("hasty")
def test_a_conditional_write_whose_reply_never_comes_is_settled_by_what_is_there(
    behind: Bucket, proxy: Proxy
) -> None:
    place = ObjectPath(behind.url("one"))
    proxy.fault = lambda call: LOST if call.method == "PUT" else None
    written = conditional.put(place, b"ours", None)
    assert behind.get("one") == b"ours"
    written = conditional.put(place, b"ours too", written)
    assert behind.get("one") == b"ours too"
    behind.put("one", b"another's")
    with pytest.raises(conditional.Taken):
        conditional.put(place, b"ours again", written)
    assert behind.get("one") == b"another's"


@pytest.mark.usefixtures("hasty")
def test_a_request_that_is_never_answered_is_given_up_and_sent_again(behind: Bucket, proxy: Proxy) -> None:
    proxy.fault = first_times(HANG, 1, "PUT")
    assert conditional.put(ObjectPath(behind.url("one")), b"ours", None).content == b"ours"


@pytest.mark.parametrize(
    ("refused", "status", "sentence"),
    [
        (lambda call: FORBIDDEN if call.key.startswith("in/") else None, 66, "access denied (403 Forbidden"),
        (lambda call: FORBIDDEN if call.method == "PUT" else None, 73, "access denied (403 Forbidden"),
    ],
)
def test_access_that_is_denied_is_said_before_anything_is_asked(
    broken: StoredJob, proxy: Proxy, refused: Callable[[Call], str | None], status: int, sentence: str
) -> None:
    broken.store(texts(20))
    proxy.fault = refused
    for verb in ("check", "run"):
        done = broken.go(verb=verb)
        assert done.returncode == status
        assert sentence in done.stderr
        assert "SECRET" not in done.stderr + done.stdout


def test_credentials_that_expire_keep_what_was_paid_for(broken: StoredJob, proxy: Proxy) -> None:
    broken.store(texts(20))
    proxy.fault = lambda call: (
        FORBIDDEN if call.key == "out/labelled.parquet" and call.method != "HEAD" else None
    )
    done = broken.go()
    assert done.returncode == 74, done.stderr
    assert "access denied" in done.stderr
    proxy.fault = lambda _: None
    again = broken.go()
    assert again.returncode == 0
    assert last_line(again)["requests"] == 20
    assert all_right(broken.published())


@pytest.mark.parametrize("missing", ["input", "output"])
def test_a_bucket_that_is_missing_is_named(stored: StoredJob, missing: str) -> None:
    stored.store(texts(20))
    stored.set(**{missing: {"path": "s3://no-such-bucket-at-all/in.parquet"}})
    for verb in ("check", "run"):
        done = stored.go(verb=verb)
        assert done.returncode == {"input": 66, "output": 73}[missing]
        assert "there is no bucket no-such-bucket-at-all; create it, or check its name" in done.stderr


def test_a_store_without_conditional_writes_is_refused_by_a_test_of_them(
    stored: StoredJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored.store(texts(20))
    library = client.obstore()

    class Careless:
        """A store that heeds no condition."""

        def __getattr__(self, name: str) -> object:
            return getattr(library, name)

        def put(self, store: object, key: str, content: bytes, **_: object) -> object:
            return library.put(store, key, content)

    real = client.obstore
    monkeypatch.setattr(conditional, "obstore", lambda module="": real(module) if module else Careless())
    done = stored.go(verb="check")
    assert done.returncode == 73
    assert "knows no conditional writes" in done.stderr


def test_without_the_library_the_extra_is_named(stored: StoredJob, monkeypatch: pytest.MonkeyPatch) -> None:
    stored.store(texts(20))
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    done = stored.go(verb="check")
    assert done.returncode == 78
    assert "pip install 'nano-pipeline[s3]'" in done.stderr


@pytest.mark.slow
def test_one_of_two_runs_with_states_of_their_own_writes_an_output(stored: StoredJob, server: object) -> None:
    stored.store(texts(20))
    other = lease.Lease(
        ObjectPath(stored.bucket.url("out/.labelled.parquet.lock")), "it", "output.path", "other"
    )
    with other.held():
        done = stored.go()
    assert done.returncode == 75
    assert "in use by process" in done.stderr
    assert asked(server) == []  # type: ignore[arg-type]
    assert stored.go().returncode == 0
