"""A Redis on loopback, which keeps nothing."""

from collections.abc import Iterator

import pytest

from tests.integration.company import free_port, program, serving


@pytest.fixture
def redis_port() -> int:
    """Where the Redis of a test listens."""
    return free_port()


@pytest.fixture
def redis_url(redis_port: int) -> Iterator[str]:
    """A quota in a Redis."""
    server = program("redis-server")
    if server is None:
        pytest.skip("needs redis-server")
    pytest.importorskip("redis")
    command = [server, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with serving(command, redis_port):
        yield f"redis://127.0.0.1:{redis_port}/0#acme"
