"""A server that knows the right labels, and a job that asks it."""

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
