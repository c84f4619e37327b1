"""An answer that nobody asked for is never taken for the answer to the next request."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import pytest
from yarl import URL

from pipeline.llm.transport.wire import Target, Wire

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, number: int) -> bytes:
    body = json.dumps({"number": number}).encode()
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


def serving(status: int, surplus_after: float) -> Serve:
    """Answer each request with *status* and its number; the first is answered once more with 200, a while later."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(
                    int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                )
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()
                return
            seen += 1
            number = seen
            writer.write(answer(status if number == 1 else 200, number))
            if number == 1 and surplus_after is not None:
                await asyncio.sleep(surplus_after)
                writer.write(answer(200, number))

    return serve


async def numbers(serve: Serve, pause: float) -> list[int]:
    """Send three requests, one after the other; returns the numbers in the answers."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/chat/completions")
    wire = Wire()
    found = []
    try:
        target = Target("POST", url, {})
        for _ in range(3):
            response = await wire.exchange(target, b"{}", 1000)
            found.append(json.loads(response.content or b"")["number"])
            await asyncio.sleep(pause)
    finally:
        await wire.close()
        await asyncio.sleep(0.1)  # for the server to notice
        server.close()
    return found


@pytest.mark.parametrize("status", [504, 503, 429, 408])
def test_a_gateway_that_gave_up_and_answers_later_answers_nobody_else(status: int) -> None:
    assert asyncio.run(numbers(serving(status, 0.05), 0.0)) == [1, 2, 3]


def test_an_answer_that_came_twice_while_the_connection_was_idle_is_dropped() -> None:
    assert asyncio.run(numbers(serving(200, 0.02), 0.1)) == [1, 2, 3]
