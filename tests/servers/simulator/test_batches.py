"""The simulator's files and batches, as OpenAI's own library sees them."""

import json
from typing import Any

import pytest
from openai import APIConnectionError, APIStatusError, AsyncOpenAI, ConflictError, NotFoundError
from openai.types import Batch

from pipeline.config.simulate.faults import BatchFault
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import SimulatorSettings

CHAT = "/v1/chat/completions"

pytestmark = pytest.mark.slow  # OpenAI's library takes a second to load


def client(server: Simulator) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=server.base_url, api_key="any", max_retries=0, timeout=600)


def line(name: str, content: str = "hello", **changes: Any) -> dict[str, Any]:
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": name, "method": "POST", "url": CHAT, "body": body, **changes}


async def made(openai: AsyncOpenAI, lines: list[dict[str, Any]], **metadata: str) -> Batch:
    """Upload *lines* and make a batch of them."""
    content = "\n".join(map(json.dumps, lines)).encode()
    file = await openai.files.create(file=("in.jsonl", content), purpose="batch")
    assert (file.bytes, file.purpose, file.filename) == (len(content), "batch", "in.jsonl")
    return await openai.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h", metadata=metadata
    )


async def read(openai: AsyncOpenAI, file: str | None) -> list[dict[str, Any]]:
    assert file
    return [json.loads(each) for each in (await openai.files.content(file)).text.splitlines()]


async def test_a_batch_answers_each_line_under_its_name_and_is_billed() -> None:
    async with Simulator() as server, client(server) as openai:
        batch = await made(openai, [line(f"row-{n}", f"text {n}") for n in range(5)], intent="i1")
        assert (batch.status, batch.metadata) == ("validating", {"intent": "i1"})
        done = await openai.batches.retrieve(batch.id)
        assert (done.status, done.error_file_id) == ("completed", None)
        assert done.request_counts
        assert (done.request_counts.total, done.request_counts.completed) == (5, 5)
        found = await read(openai, done.output_file_id)
        assert server.log.billed == 5
    assert [each["custom_id"] for each in found] == [f"row-{n}" for n in range(5)]
    assert {each["response"]["status_code"] for each in found} == {200}
    assert {each["response"]["body"]["object"] for each in found} == {"chat.completion"}


async def test_batches_are_listed_page_by_page_the_newest_first() -> None:
    async with Simulator() as server, client(server) as openai:
        names = [(await made(openai, [line("a")], intent=str(n))).id for n in range(5)]
        listed = [each.id async for each in openai.batches.list(limit=2)]
    assert listed == names[::-1]


async def test_a_cancelled_batch_keeps_what_it_has_answered() -> None:
    async with Simulator(SimulatorSettings(batch_seconds=3600)) as server, client(server) as openai:
        batch = await made(openai, [line(f"{n}") for n in range(4)])
        assert (await openai.batches.retrieve(batch.id)).status == "in_progress"
        assert (await openai.batches.cancel(batch.id)).status == "cancelling"
        done = await openai.batches.retrieve(batch.id)
        assert (done.status, done.output_file_id) == ("cancelled", None)
        errors = await read(openai, done.error_file_id)
        assert {each["error"]["code"] for each in errors} == {"batch_cancelled"}
        with pytest.raises(ConflictError):
            await openai.batches.cancel(batch.id)


async def test_a_file_is_shown_and_deleted() -> None:
    async with Simulator() as server, client(server) as openai:
        file = await openai.files.create(file=("in.jsonl", b"{}"), purpose="batch")
        assert (await openai.files.retrieve(file.id)).id == file.id
        assert [each.id for each in (await openai.files.list()).data] == [file.id]
        assert (await openai.files.delete(file.id)).deleted
        with pytest.raises(NotFoundError):
            await openai.files.content(file.id)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([line("a"), line("a")], "duplicate_custom_id"),
        ([line("a", method="GET")], "invalid_method"),
        ([line("a", url="/v1/embeddings")], "invalid_url"),
        ([{"custom_id": "a"}], "invalid_json_line"),
        ([line("a"), line("b", body={"model": "other", "messages": []})], "mismatched_model"),
        ([], "empty_file"),
    ],
)
async def test_a_batch_of_a_wrong_file_fails_after_it_was_taken(
    lines: list[dict[str, Any]], code: str
) -> None:
    async with Simulator() as server, client(server) as openai:
        failed = await openai.batches.retrieve((await made(openai, lines)).id)
        assert failed.status == "failed"
        assert failed.errors
        assert [each.code for each in failed.errors.data or ()] == [code]
        assert server.log.billed == 0


async def test_what_the_api_does_not_take_is_refused() -> None:
    async with Simulator() as server, client(server) as openai:
        with pytest.raises(APIStatusError):
            await openai.files.create(file=("in.jsonl", b"{}"), purpose="vision")
        with pytest.raises(NotFoundError):
            await openai.batches.create(input_file_id="none", endpoint=CHAT, completion_window="24h")
        with pytest.raises(NotFoundError):
            await openai.batches.retrieve("none")


async def test_a_file_of_a_hundred_megabytes_is_taken() -> None:
    async with Simulator() as server, client(server) as openai:
        file = await openai.files.create(file=("in.jsonl", bytes(100_000_000)), purpose="batch")
    assert file.bytes == 100_000_000


async def test_each_fault_shows_as_providers_show_it() -> None:
    four = [line(f"{n}", f"text {n}") for n in range(4)]
    async with Simulator() as server, client(server) as openai:

        async def ended(fault: BatchFault) -> Batch:
            server.batches.planned.append(fault)
            return await openai.batches.retrieve((await made(openai, four)).id)

        server.batches.planned.append(BatchFault.LOST_REPLY)
        with pytest.raises(APIConnectionError):
            await made(openai, four, intent="lost")
        assert [each.metadata async for each in openai.batches.list()] == [{"intent": "lost"}]

        expired = await ended(BatchFault.EXPIRED)
        assert expired.status == "expired"
        assert len(await read(openai, expired.output_file_id)) == 2
        codes = {each["error"]["code"] for each in await read(openai, expired.error_file_id)}
        assert codes == {"batch_expired"}

        failed = await ended(BatchFault.QUEUE_FULL)
        assert failed.errors
        assert (failed.errors.data or [])[0].code == "token_limit_exceeded"

        refused = await ended(BatchFault.ALL_REFUSED)
        assert (refused.status, refused.output_file_id) == ("completed", None)
        assert len(await read(openai, refused.error_file_id)) == 4

        assert (await ended(BatchFault.EMPTY_IDS)).error_file_id == ""
        assert len(await read(openai, (await ended(BatchFault.DUPLICATED)).output_file_id)) == 5
        assert len(await read(openai, (await ended(BatchFault.MISSING)).output_file_id)) == 3

        cut = await ended(BatchFault.CUT_DOWNLOAD)
        with pytest.raises(APIConnectionError):
            await openai.files.content(cut.output_file_id or "")
        with pytest.raises(json.JSONDecodeError):
            await read(openai, cut.output_file_id)
        assert len(await read(openai, cut.output_file_id)) == 4

        server.batches.planned.append(BatchFault.GONE)
        gone = await made(openai, four)
        with pytest.raises(NotFoundError):
            await openai.batches.retrieve(gone.id)
