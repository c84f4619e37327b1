"""HTTP/1.1: requests are understood however they arrive, and the rest is refused."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faultserver.client import chat, line, request
from tests.faultserver.http1 import Response, parse_head, render
from tests.faultserver.server import FaultServer


def test_a_head_is_read():
    head = b"POST /v1/x?y=1 HTTP/1.1\r\nHost: a\r\nX-Empty:\r\nContent-Length:  12 \r\nUser-Agent: b:c"
    headers = {"host": "a", "x-empty": "", "content-length": "12", "user-agent": "b:c"}
    assert parse_head(head) == ("POST", "/v1/x?y=1", headers, 12)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /",
        b"GET / HTTP/2",
        b"GET / HTTP/1.1\r\nContent-Length: x",
        b"GET / HTTP/1.1\r\nContent-Length: -1",
        b"GET / HTTP/1.1\r\nContent-Length: 999999999999",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked",
    ],
)
def test_a_head_that_is_none_is_an_error(head):
    with pytest.raises(ValueError, match=r"unpack|no HTTP|length|literal"):
        parse_head(head)


def test_a_response_is_written_with_its_length():
    raw = render(Response(404, b"{}", (("A", "b"),)), (("C", "d"),))
    assert (
        raw
        == b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nA: b\r\nC: d\r\nContent-Length: 2\r\n\r\n{}"
    )


def test_a_204_has_no_body_and_no_length():
    assert b"Content-Length" not in render(Response(204))


@given(st.lists(st.integers(1, 400), max_size=6))
@settings(max_examples=40)
def test_a_request_may_arrive_in_any_pieces(cuts):
    async def send() -> int:
        data, pieces = request(chat("x")), sorted({0, *cuts})
        async with FaultServer() as server, line(server) as connection:
            for start, stop in pairwise(pieces):
                connection.writer.write(data[start:stop])
                await asyncio.sleep(0)
            return (await connection.send(data[pieces[-1] :])).status

    assert asyncio.run(send()) == 200


async def test_requests_on_one_connection_are_answered_in_turn():
    async with FaultServer() as server, line(server) as connection:
        connection.writer.write(request(chat("a")) * 3)
        async with asyncio.timeout(5):
            for _ in range(3):
                head = await connection.reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK")
                await connection.reader.readexactly(int(head.split(b"Content-Length: ")[1]))
        assert server.max_in_flight == 1


@pytest.mark.parametrize("data", [b"rubbish\r\n\r\n", b"x" * 70_000])
async def test_what_is_no_http_gets_400_and_a_closed_connection(data):
    async with FaultServer() as server, line(server) as connection:
        assert (await connection.send(data)).status == 400
        assert await connection.reader.read() == b""
        assert server.requests == 0
