"""A server that knows the right labels, and a job that asks it."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import JobFiles, right_label
from pipeline.endpoints.simulator import Simulator


@pytest.fixture
def server() -> Iterator[Simulator]:
    """A flawless endpoint, in a thread of its own, that knows the right label of each row."""
    with Simulator(label_for=right_label) as simulator:
        yield simulator


@pytest.fixture
def job(tmp_path: Path, server: Simulator) -> JobFiles:
    """A job that asks the server."""
    return JobFiles(tmp_path, server.base_url)


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
        terminalreporter.write_line(f"{name} = {total:,g}")
