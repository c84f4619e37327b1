"""Exchanges byte by byte, against servers that each test writes itself."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from yarl import URL

from pipeline.llm.transport.wire import Response, Target, Wire

HEADERS = {"Content-Type": "application/json", "Authorization": "Bearer a-key"}
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Said: Twice\r\n\r\n{}"

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@dataclass
class Endpoint:
    """A server that records what it was sent."""

    url: URL = field(default_factory=URL)
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


@asynccontextmanager
async def endpoint(answer: Callable[[Writer], Awaitable[None]]) -> AsyncIterator[Endpoint]:
    """Call *answer* after each request."""
    found = Endpoint()
    open_: dict[Writer, asyncio.Task[None] | None] = {}

    async def serve(reader: Reader, writer: Writer) -> None:
        found.connections += 1
        open_[writer] = asyncio.current_task()
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                size = int(head.lower().partition("content-length: ")[2].partition("\r")[0] or 0)
                found.heads.append(head)
                found.bodies.append(await reader.readexactly(size))
                await answer(writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client closed the connection
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    found.url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions?a=b")
    try:
        yield found
    finally:
        server.close()
        for writer in open_:
            writer.close()
        await asyncio.gather(*filter(None, open_.values()))


@asynccontextmanager
async def opened() -> AsyncIterator[Wire]:
    wire = Wire()
    try:
        yield wire
    finally:
        await wire.close()


async def right(writer: Writer) -> None:
    writer.write(REPLY)


async def post(wire: Wire, server: Endpoint, body: bytes = b"{}", max_bytes: int = 100) -> Response:
    return await wire.exchange(Target("POST", server.url, HEADERS), body, max_bytes)


async def test_a_request_is_what_was_given_and_what_http_needs() -> None:
    async with endpoint(right) as server, opened() as wire:
        response = await post(wire, server, b'{"a": 1}')
        await wire.exchange(Target("GET", server.url, {}), b"", 100)
    line, *headers = server.heads[0].strip().split("\r\n")
    assert line == "POST /v1/chat/completions?a=b HTTP/1.1"
    assert {
        f"Host: 127.0.0.1:{server.url.port}",
        "Authorization: Bearer a-key",
        "Content-Length: 8",
    } <= set(headers)
    assert server.bodies == [b'{"a": 1}', b""]
    assert "content-length" not in server.heads[1].lower()
    assert (response.status, response.headers["x-said"], response.content) == (200, "Twice", b"{}")


async def test_requests_one_after_another_share_one_connection() -> None:
    async with endpoint(right) as server, opened() as wire:
        for _ in range(20):
            await post(wire, server)
        assert (len(server.heads), server.connections) == (20, 1)


async def test_there_are_as_many_connections_as_requests_in_flight_and_they_are_used_again() -> None:
    together = 150  # more than the 100 connections to which aiohttp limits itself
    barrier = asyncio.Barrier(together)

    async def wait_for_all(writer: Writer) -> None:
        await barrier.wait()
        writer.write(REPLY)

    async with endpoint(wait_for_all) as server, opened() as wire:
        for _ in range(2):
            responses = await asyncio.gather(*(post(wire, server) for _ in range(together)))
            assert {response.status for response in responses} == {200}
            assert server.connections == together


async def test_informational_responses_are_skipped() -> None:
    async def hints(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
        await asyncio.sleep(0.05)
        writer.write(REPLY)

    async with endpoint(hints) as server, opened() as wire:
        assert [(await post(wire, server)).content for _ in range(3)] == [b"{}"] * 3
        assert server.connections == 1


@pytest.mark.parametrize("way", ["length", "chunks", "until the end"])
async def test_a_reply_that_is_too_large_is_not_read_to_its_end_and_its_connection_is_given_up(
    way: str,
) -> None:
    heads = {
        "length": b"Content-Length: 100000\r\n\r\n",
        "chunks": b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n",
        "until the end": b"Connection: close\r\n\r\n",
    }

    async def large(writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n" + heads[way] + b"x" * 5000)

    async with endpoint(large) as server, opened() as wire:
        assert (await post(wire, server, max_bytes=1000)).content is None
        assert (await post(wire, server, max_bytes=1000)).content is None
        assert server.connections == 2


async def test_a_connection_is_not_used_again_where_the_answer_came_before_the_end_of_the_question() -> None:
    seen: list[Writer] = []

    async def hasty(reader: Reader, writer: Writer) -> None:
        seen.append(writer)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(hasty, "127.0.0.1", 0, limit=1000)
    url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    async with server, opened() as wire:
        for _ in range(2):
            response = await wire.exchange(Target("POST", url, {}), b"x" * 30_000_000, 10)
            assert response.status == 413
        assert len(seen) == 2
        for writer in seen:
            writer.transport.abort()


async def test_a_server_that_closes_is_connected_to_again() -> None:
    async def last(writer: Writer) -> None:
        writer.write(REPLY.replace(b"X-Said: Twice", b"Connection: close"))

    async with endpoint(last) as server, opened() as wire:
        assert [(await post(wire, server)).content for _ in range(3)] == [b"{}"] * 3
        assert server.connections == 3


async def test_the_reply_to_a_call_that_was_cancelled_goes_to_no_other_call() -> None:
    async def slow(writer: Writer) -> None:
        await asyncio.sleep(0.1)
        writer.write(REPLY)

    async with endpoint(slow) as server, opened() as wire:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await post(wire, server)
        assert (await post(wire, server)).content == b"{}"
        assert server.connections == 2


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"what?\r\n\r\n"])
async def test_a_reply_that_breaks_off_or_is_no_http_raises(text: bytes) -> None:
    async def cut(writer: Writer) -> None:
        writer.write(text)
        writer.close()

    async with endpoint(cut) as server, opened() as wire:
        with pytest.raises((aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError)):
            await post(wire, server)


@pytest.mark.parametrize("value", ["a\nb", "a\r\nX-Other: b"])
async def test_a_header_of_two_lines_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        Target("POST", URL("http://127.0.0.1/"), {"X-Name": value})


async def test_only_the_wire_says_how_long_a_body_is() -> None:
    given = {"content-length": "7", "Transfer-Encoding": "chunked"}
    async with endpoint(right) as server, opened() as wire:
        await wire.exchange(Target("POST", server.url, given), b"{}", 100)
    assert server.heads[0].lower().count("content-length") == 1
    assert "chunked" not in server.heads[0]
    assert server.bodies == [b"{}"]


async def test_a_connection_that_was_idle_for_too_long_is_closed_and_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.llm.transport.wire.KEEP_ALIVE_SECONDS", 0.2)
    async with endpoint(right) as server, opened() as wire:
        for connections in (1, 2, 3):
            await post(wire, server)
            assert server.connections == connections
            await asyncio.sleep(0.25 * connections)
        assert not wire._idle
