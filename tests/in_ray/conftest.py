"""A Ray cluster of three nodes on loopback, for one test after the other: `make test-ray`."""

import os
from collections.abc import Iterator

import pytest

from tests.in_ray.cluster import Nodes

# Several processes at once would start a cluster each: `make test-ray` runs these in one.
collect_ignore_glob = ["test_*.py"] if "PYTEST_XDIST_WORKER" in os.environ else []


@pytest.fixture(scope="session")
def started() -> Iterator[Nodes]:
    nodes = Nodes()
    try:
        yield nodes
    finally:
        nodes.shut_down()


@pytest.fixture
def nodes(started: Nodes) -> Nodes:
    """The nodes, all three of them, whatever the last test has done to them."""
    started.complete()
    return started
