"""An S3 server in a process of its own: moto's, whose buckets are gone when it ends."""

import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import obstore
from obstore.store import S3Store

SERVE = """
import logging, sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextmanager
def s3_server() -> Iterator[str]:
    """Run the server while the block runs; yields its URL."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


class Bucket:
    """A bucket of its own for a test, behind *url*, which may be that of a proxy."""

    def __init__(self, url: str, *, through: str | None = None) -> None:
        self.name = f"bucket-{uuid.uuid4().hex[:12]}"
        self.env = environment_of(through or url)
        self.store = S3Store(
            self.name,
            endpoint=url,
            access_key_id="tests",
            secret_access_key="SECRET-of-the-tests",
            region="us-east-1",
            client_options={"allow_http": True},
        )
        _make(url, self.name)

    def url(self, key: str = "") -> str:
        return f"s3://{self.name}/{key}".rstrip("/")

    def put(self, key: str, content: bytes) -> None:
        obstore.put(self.store, key, content)

    def get(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def names(self, prefix: str = "") -> list[str]:
        pages: Any = obstore.list(self.store, prefix or None)
        return sorted(each["path"] for page in pages for each in page)


def environment_of(url: str) -> Mapping[str, str]:
    """The variables by which S3's clients find the server at *url*."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "SECRET-of-the-tests",
        "AWS_REGION": "us-east-1",
    }


def _make(url: str, name: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT")).close()
