"""A launcher for each test module."""

from collections.abc import Iterator

import pytest

from tests.reliability.launcher import Launcher


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Starts executions quickly."""
    with Launcher(tmp_path_factory.mktemp("launcher")) as started:
        yield started
