"""The calls of the batch side, against the simulator."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pipeline.errors import ProviderUnavailableError
from pipeline.llm.batch.api import Batch, BatchApi
from pipeline.llm.batch.lines import request_line
from pipeline.llm.replies import Failure
from pipeline.llm.transport.client import Client
from pipeline.servers.simulator.server import Simulator
from tests.batching import Quick

BODY = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'


@pytest.fixture
async def server() -> AsyncIterator[Simulator]:
    async with Simulator() as running:
        yield running


@pytest.fixture
async def api(server: Simulator) -> AsyncIterator[BatchApi]:
    async with Client.open(server.base_url, dict) as client:
        yield BatchApi(client, Quick().clock, max_outage=60.0)


def requests(folder: Path, count: int = 3) -> tuple[Path, int]:
    path = folder / "in.jsonl"
    path.write_bytes(b"".join(request_line(bytes([n]) * 16, BODY) for n in range(count)))
    return path, path.stat().st_size


async def made(api: BatchApi, folder: Path, intent: str) -> Batch:
    found = await api.create(await api.upload(*requests(folder), intent), intent, "run")
    assert isinstance(found, Batch)
    return found


async def test_what_is_uploaded_is_what_the_file_holds(
    api: BatchApi, server: Simulator, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(bytes(range(256)) * 20_000)
    file = await api.upload(path, path.stat().st_size, "name")
    assert server.batches._files[file].content == path.read_bytes()
    assert await api.has(file)
    await api.delete(file)
    assert not await api.has(file)


async def test_a_batch_is_found_by_its_intent_many_pages_back(api: BatchApi, tmp_path: Path) -> None:
    wanted = await made(api, tmp_path, "wanted")
    file = await api.upload(*requests(tmp_path), "others")
    for number in range(205):
        await api.create(file, f"other {number}", "run")
    found = await api.find("wanted", 0.0)
    assert found is not None
    assert (found.name, found.status, found.completed) == (wanted.name, "completed", 3)
    assert await api.find("nobody's", 0.0) is None


async def test_the_search_ends_at_batches_that_are_older(
    api: BatchApi, server: Simulator, tmp_path: Path
) -> None:
    await made(api, tmp_path, "wanted")
    other = await made(api, tmp_path, "other")
    server.batches._batches[other.name].created -= 10_000
    assert await api.find("wanted", other.created_at) is None, "what is listed after it is older still"
    assert await api.find("wanted", other.created_at - 9_000) is not None


async def test_what_certainly_was_not_made_is_a_failure(api: BatchApi) -> None:
    assert isinstance(await api.create("no such file", "intent", "run"), Failure)


async def test_what_nobody_knows_is_neither(api: BatchApi, server: Simulator) -> None:
    server._service.outage = "503"
    assert await api.create("file", "intent", "run") is None


async def test_a_closed_endpoint_has_made_nothing(api: BatchApi, server: Simulator) -> None:
    await server._listener.close()
    for connection in server._runner.server.connections if server._runner.server else ():
        connection.force_close()
    found = await api.create("file", "intent", "run")
    assert found is None or isinstance(found, Failure)
    with pytest.raises(ProviderUnavailableError, match=r"limits\.max_outage"):
        await api.get("batch")


async def test_a_batch_that_has_ended_cannot_be_cancelled(api: BatchApi, tmp_path: Path) -> None:
    batch = await made(api, tmp_path, "one")
    assert (await api.get(batch.name) or batch).status == "completed"
    assert await api.cancel(batch.name) is None
    assert await api.get("none") is None
