"""A server that knows the right labels, and a job that asks it."""

import ssl
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.authority import Authority, make_authority
from tests.faultserver.server import FaultServer
from tests.jobs import JobFiles, right_label

# `make test-airflow` has an environment with it.
collect_ignore = [] if find_spec("airflow") else ["in_airflow"]

# No test has a bound on wall time; and a fixture here is a folder or a server that examples may share.
ANYWHERE = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
# Examples are the same each time, so that a commit is as green tomorrow; `make soak` looks for others.
settings.register_profile("same", ANYWHERE, derandomize=True)
settings.register_profile("others", ANYWHERE)
settings.load_profile("same")


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A flawless endpoint, in a thread of its own, that knows the right label of each row."""
    with FaultServer(label_for=right_label) as simulator:
        yield simulator


@pytest.fixture
def job(tmp_path: Path, server: FaultServer) -> JobFiles:
    """A job that asks the server."""
    return JobFiles(tmp_path, server.base_url)


@pytest.fixture
def same_coins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the coins of audits fall the same way in each run of a test: a bound that holds in 95 of 100 fails in five."""
    monkeypatch.setattr("pipeline.student.coin.urandom", bytes)


@pytest.fixture(scope="session")
def untrusted(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server's context with a certificate that nobody trusts."""
    folder: Path = tmp_path_factory.mktemp("tls")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=127.0.0.1"
    paths = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run([*make.split(), *paths], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A private authority that no system trusts by itself."""
    return make_authority(tmp_path_factory.mktemp("authority"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures that tests have recorded with `record_property`: sums, or the largest of all `most ...`."""
    found: dict[str, list[float]] = defaultdict(list)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, figure in report.user_properties:
            found[name].append(figure)
    if found:
        terminalreporter.section("figures")
    for name, figures in sorted(found.items()):
        total = max(figures) if "most " in name else sum(figures)
        terminalreporter.write_line(f"{name} = {round(total, 3):,}")
