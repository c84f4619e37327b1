"""Jobs on a company's network: through a real Squid that wants a password, to a real nginx with a private certificate."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest

from tests.authority import HOST, Authority
from tests.faultserver.server import FaultServer
from tests.integration.company import PASSWORD, USER, program, running_nginx, running_squid, squid_helper
from tests.jobs import JobFiles, last_line, right_label
from tests.reliability.evidence import files_with

pytestmark = pytest.mark.slow

SAMPLE = Path(__file__).parent.parent.parent / "data" / "sample" / "packages.parquet"


@pytest.fixture(scope="module")
def squid() -> Iterator[int]:
    """Port of a Squid that knows where the endpoint is and wants a password."""
    if squid_helper() is None:
        pytest.skip("needs squid with basic_ncsa_auth")
    # Not in pytest's own folder: it is its user's alone, and root's Squid becomes another user.
    with tempfile.TemporaryDirectory(prefix="squid-") as folder, running_squid(Path(folder)) as port:
        yield port


@pytest.fixture
def nginx(tmp_path: Path, authority: Authority, server: FaultServer) -> Iterator[int]:
    """Port of an nginx that has the private certificate and leads to the fault server."""
    if program("nginx") is None:
        pytest.skip("needs nginx")
    folder = tmp_path / "nginx"
    folder.mkdir()
    with running_nginx(folder, authority, urlsplit(server.base_url).port or 0) as port:
        yield port


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    """The sample's 240 rows, to be labelled by their summary."""
    folder = tmp_path / "job"
    folder.mkdir()
    made = JobFiles(folder, server.base_url)
    made.table(pl.read_parquet(SAMPLE).select("package", text="summary"))
    return made.set(limits={"max_outage": "2s", "drain": "0.1s"})


def whole(job: JobFiles) -> bool:
    """Whether all rows of the sample have their right label."""
    labelled = job.labelled()
    right = [right_label(text) for text in labelled["text"]]
    return labelled["label"].to_list() == right and len(right) == 240


def proxy(port: int, login: str = f"{USER}:{PASSWORD}@") -> str:
    return f"http://{login}127.0.0.1:{port}"


def open_url(server: FaultServer) -> str:
    return f"http://{HOST}:{urlsplit(server.base_url).port}/v1"


@pytest.mark.parametrize("named", ["HTTP_PROXY", "model.proxy"])
def test_an_open_endpoint_is_asked_through_squid(
    job: JobFiles, server: FaultServer, squid: int, named: str
) -> None:
    env = {"HTTP_PROXY": proxy(squid)}
    job.set(model={"base_url": open_url(server), "allow_insecure": True})
    if named == "model.proxy":
        env = {"PROXY_PASSWORD": PASSWORD}
        job.set(model={"proxy": proxy(squid).replace(PASSWORD, "${PROXY_PASSWORD}")})
    done = job.run(env=env)
    assert done.returncode == 0, done.stderr
    assert whole(job)
    assert f"requests go through the proxy http://127.0.0.1:{squid} ({named})" in done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert files_with(PASSWORD, job.folder) == []


@pytest.mark.parametrize("trusted", ["SSL_CERT_FILE", "model.ca_file"])
def test_an_encrypted_endpoint_is_asked_through_squid(
    job: JobFiles, nginx: int, squid: int, authority: Authority, trusted: str
) -> None:
    env = {"HTTPS_PROXY": proxy(squid)}
    job.set(model={"base_url": f"https://{HOST}:{nginx}/v1"})
    if trusted == "model.ca_file":
        job.set(model={"ca_file": str(authority.file)})
    else:
        env[trusted] = str(authority.file)
    done = job.run(env=env)
    assert done.returncode == 0, done.stderr
    assert whole(job)
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("login", "words"),
    [
        ("", "wants a user name and a password"),
        (f"{USER}:canary-wrong@", "refuses the user name or the password"),
    ],
)
def test_squid_refuses_a_wrong_password_and_the_run_ends_with_78(
    job: JobFiles,
    server: FaultServer,
    squid: int,
    scheme: str,
    login: str,
    words: str,
) -> None:
    job.set(model={"base_url": open_url(server).replace("http", scheme), "allow_insecure": True})
    done = job.run(env={"ALL_PROXY": proxy(squid, login)})
    assert done.returncode == 78, done.stderr
    assert f"the proxy http://127.0.0.1:{squid} (ALL_PROXY) {words}" in last_line(done)["error"]
    assert "canary" not in done.stdout + done.stderr
    assert server.requests == 0


def test_a_host_that_squid_does_not_allow_ends_the_run_with_squids_words(job: JobFiles, squid: int) -> None:
    job.set(model={"base_url": "https://elsewhere.invalid/v1"})
    done = job.run(env={"HTTPS_PROXY": proxy(squid)})
    assert done.returncode == 78, done.stderr
    assert "does not let through to the endpoint: 403 Forbidden" in last_line(done)["error"]


def test_no_proxy_leads_past_squid(job: JobFiles, server: FaultServer, squid: int) -> None:
    job.set(model={"base_url": open_url(server), "allow_insecure": True})
    done = job.run(env={"HTTP_PROXY": proxy(squid), "NO_PROXY": "corp.invalid"})
    assert done.returncode == 69, done.stderr  # nobody but Squid knows the host
    assert "proxy" not in done.stderr


def test_nginx_with_a_private_certificate_is_trusted_where_its_authority_is_named(
    job: JobFiles, server: FaultServer, nginx: int, authority: Authority
) -> None:
    job.set(model={"base_url": f"https://127.0.0.1:{nginx}/v1"})
    refused = job.run()
    assert refused.returncode == 78, refused.stderr
    assert server.requests == 0
    error = last_line(refused)["error"]
    assert "(looked at /" in error
    assert "set model.ca_file (or SSL_CERT_FILE)" in error

    taken = job.run(env={"SSL_CERT_FILE": str(authority.file)})
    assert taken.returncode == 0, taken.stderr
    assert whole(job)
