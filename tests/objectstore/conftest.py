"""A server of objects, a bucket in it, a proxy before it, and a job whose tables are there."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config.simulate.latency import Fixed
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import right_label
from tests.objectstore.jobs import Machine, StoredJob
from tests.objectstore.proxy import Proxy, proxied
from tests.objectstore.server import Bucket, s3_server


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    yield
    while Machine.started:
        with Machine.started.pop() as process:
            process.kill()


@pytest.fixture(scope="session")
def s3() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture
def proxy(s3: str) -> Iterator[Proxy]:
    with proxied(s3) as proxy:
        yield proxy


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    bucket = Bucket(s3)
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def behind(s3: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that is reached through the proxy only."""
    bucket = Bucket(s3, through=proxy.url)
    for name, value in bucket.env.items():
        monkeypatch.setenv(name, value)
    return bucket


@pytest.fixture
def stored(tmp_path: Path, server: FaultServer, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> StoredJob:
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "disk"))  # where copies of the state lie
    return StoredJob(tmp_path, server.base_url, bucket)


@pytest.fixture
def broken(tmp_path: Path, server: FaultServer, behind: Bucket) -> StoredJob:
    """The same behind the proxy."""
    return StoredJob(tmp_path, server.base_url, behind)


@pytest.fixture
def slow_server(request: pytest.FixtureRequest) -> Iterator[FaultServer]:
    """An endpoint whose replies take the LATENCY of the module, in seconds."""
    latency = Fixed(request.module.LATENCY)
    with FaultServer(FaultServerSettings(latency=latency), label_for=right_label) as server:
        yield server
