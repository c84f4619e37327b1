"""Delta tables in a bucket: read, appended to exactly once, whatever the store does."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from tests.delta import killed
from tests.delta.tables import delete_by_vector, table, written
from tests.faultserver.server import FaultServer
from tests.jobs import asked, environment, right_label, texts
from tests.objectstore.jobs import StoredJob
from tests.objectstore.proxy import FORBIDDEN, LOST, SLOW_DOWN, Proxy
from tests.objectstore.server import Bucket


def options(bucket: Bucket) -> dict[str, str]:
    """What deltalake needs to reach the bucket."""
    return {**bucket.env, "allow_http": "true"}


def lake(job: StoredJob) -> None:
    """A table of 20 rows, of which three were deleted; the job reads it, and appends labels to another."""
    url = job.bucket.url("lake")
    write_deltalake(url, table(texts(20)), partition_by="half", storage_options=options(job.bucket))
    DeltaTable(url, storage_options=options(job.bucket)).delete("id IN (3, 4, 5)")
    job.set(
        input={"path": url},
        output={"path": job.bucket.url("labels"), "format": "delta", "columns": {"only": ["id"]}},
    )


def labels(job: StoredJob) -> pl.DataFrame:
    found = DeltaTable(job.bucket.url("labels"), storage_options=options(job.bucket)).scan()
    return pl.DataFrame(pa.table(pa.RecordBatchReader.from_stream(found).read_all())).sort("id")


def is_right(job: StoredJob) -> bool:
    alive = [n for n in range(20) if n not in {3, 4, 5}]
    return labels(job).select("id", "label").rows() == [(n, right_label(texts(20)[n])) for n in alive]


@pytest.mark.slow
def test_live_rows_are_labelled_and_appended_once(stored: StoredJob) -> None:
    lake(stored)
    done = stored.go()
    assert done.returncode == 0, done.stderr
    assert is_right(stored)
    names = stored.bucket.names("labels/_delta_log")
    assert stored.go().returncode == 0
    DeltaTable(stored.bucket.url("lake"), storage_options=options(stored.bucket)).optimize.z_order(["text"])
    assert "has all rows already" in stored.go().stderr
    assert stored.bucket.names("labels/_delta_log") == names


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["amid the commit", "after the commit"])
def test_a_run_that_was_killed_appends_its_rows_once(stored: StoredJob, moment: str) -> None:
    lake(stored)
    command = [sys.executable, killed.__file__, moment, "run", str(stored.config_file())]
    died = subprocess.run(command, capture_output=True, env=environment(stored.bucket.env), check=False)
    assert died.returncode < 0, died.stderr
    done = stored.go()
    assert done.returncode == 0, done.stderr
    assert is_right(stored)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [LOST, SLOW_DOWN])
def test_a_commit_whose_reply_is_lost_or_that_is_put_off_happens_once(
    broken: StoredJob, proxy: Proxy, fault: str
) -> None:
    lake(broken)
    proxy.fault = lambda call: (
        fault if call.method == "PUT" and "labels/_delta_log/" in call.key and call.number == 1 else None
    )
    done = broken.go()
    assert done.returncode == 0, done.stderr
    assert proxy.count("PUT", "labels/_delta_log/") >= 2
    assert is_right(broken)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["labels/part-", "labels/_delta_log/"])
def test_a_store_that_refuses_the_rows_or_the_commit_ends_the_run_and_the_next_one_appends(
    broken: StoredJob, proxy: Proxy, server: FaultServer, part: str
) -> None:
    lake(broken)
    proxy.fault = lambda call: FORBIDDEN if call.method in {"PUT", "POST"} and part in call.key else None
    refused = broken.go()
    assert refused.returncode == 74, refused.stderr
    assert "cannot be appended to" in refused.stderr
    assert not any(word in refused.stderr for word in ("SECRET", "Signature", "Traceback"))
    proxy.fault = lambda _: None
    done = broken.go()
    assert done.returncode == 0, done.stderr
    assert is_right(broken)
    assert len(asked(server)) == 17


@pytest.mark.slow
def test_a_table_that_may_not_be_read_is_an_error_without_secrets(broken: StoredJob, proxy: Proxy) -> None:
    lake(broken)
    proxy.fault = lambda call: FORBIDDEN if call.method == "GET" and "lake/_delta_log/" in call.key else None
    refused = broken.go()
    assert refused.returncode in {65, 66}, refused.stderr
    assert "Delta table" in refused.stderr
    assert not any(word in refused.stderr for word in ("SECRET", "Signature", "Traceback"))


@pytest.mark.slow
def test_rows_that_a_deletion_vector_names_are_not_asked_about(
    stored: StoredJob, server: FaultServer, tmp_path: Path
) -> None:
    local = tmp_path / "a lake"
    written(local, table(texts(6)))
    delete_by_vector(local, [1, 4])
    for file in local.rglob("*"):
        if file.is_file():
            stored.bucket.put(f"a lake/{file.relative_to(local)}", file.read_bytes())
    stored.set(input={"path": stored.bucket.url("a lake")}, output={"path": stored.bucket.url("plain")})
    done = stored.go()
    assert done.returncode == 0, done.stderr
    assert sorted(asked(server)) == sorted(texts(6)[n] for n in (0, 2, 3, 5))
