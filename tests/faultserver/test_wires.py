"""Each fault of the wire does there what its name says."""

import asyncio
import gzip
import json
import zlib

import pytest

from tests.faultserver.client import Got, chat, line, post, request, spoiled
from tests.faultserver.faults import wires
from tests.faultserver.server import FaultServer


async def test_a_hanging_server_says_nothing():
    assert (await spoiled("hang")) == Got(0, {}, b"", "silent")


async def test_a_server_can_stop_after_the_head():
    got = await spoiled("headers_only")
    assert (got.status, got.body, got.end) == (200, b"", "silent")


async def test_a_dripping_server_sends_one_byte_a_second():
    async with FaultServer(label_for=lambda _: "games") as server:
        server.script(["drip"])
        got = await post(server, chat("x"), seconds=1.5)
    assert (got.body, got.end) == (b"{", "silent")


async def test_half_a_body_can_end_with_a_reset():
    got = await spoiled("reset_mid_body")
    assert got.end == "reset"
    assert 0 < len(got.body) < int(got.headers["content-length"])


async def test_half_a_body_can_end_with_a_close():
    got = await spoiled("fin_mid_body")
    assert got.end == "closed"
    assert 0 < len(got.body) < int(got.headers["content-length"])


async def test_a_cut_body_without_a_length_looks_whole():
    got = await spoiled("no_content_length")
    assert (got.status, got.end) == (200, "closed")
    assert "content-length" not in got.headers
    assert got.body.startswith(b'{"id"')
    with pytest.raises(json.JSONDecodeError):
        got.json  # noqa: B018 - reading it is the test


async def test_a_dropped_request_gets_no_byte():
    assert (await spoiled("drop")) == Got(0, {}, b"", "closed")


async def test_a_stale_connection_closes_after_a_right_reply_without_a_warning():
    async with FaultServer(label_for=lambda _: "games") as server, line(server) as connection:
        server.script(["stale_keepalive"])
        got = await connection.send(request(chat("x")))
        assert (got.label, got.end, "connection" in got.headers) == ("games", "whole", False)
        assert await connection.reader.read() == b""


async def test_a_gzip_bomb_is_small_and_unpacks_to_300_mib():
    got = await spoiled("gzip_bomb")
    assert got.headers["content-encoding"] == "gzip"
    assert len(got.body) < 2 * 1024 * 1024
    unpack, size = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16), 0
    piece = unpack.decompress(got.body, 1024 * 1024)
    while piece:
        size += len(piece)
        piece = unpack.decompress(unpack.unconsumed_tail, 1024 * 1024)
    assert (size, unpack.eof) == (300 * 1024 * 1024, True)
    assert gzip.compress(b"")[:2] == got.body[:2]


async def test_an_endless_body_goes_on_as_fast_as_it_is_read():
    got = await spoiled("endless_body")
    assert got.headers["content-length"] == str(wires.ENDLESS_BYTES)
    assert len(got.body) > 1024 * 1024


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_endless_body_that_nobody_reads_costs_no_memory(loop):
    async def unread(server: FaultServer) -> int:
        async with line(server) as connection:
            connection.writer.write(request(chat("x")))
            await asyncio.sleep(0.3)
            (served,) = server._connections
            return served._transport.get_write_buffer_size()

    async def in_this_loop() -> int:
        async with FaultServer() as server:
            server.script(["endless_body"])
            return await unread(server)

    if loop == "asyncio":
        assert asyncio.run(in_this_loop()) < 1024 * 1024
        return
    with FaultServer() as server:
        server.script(["endless_body"])
        assert asyncio.run(unread(server)) < 1024 * 1024


async def test_a_header_can_have_20_kilobytes():
    got = await spoiled("big_header")
    assert (len(got.headers["x-padding"]), got.label) == (20 * 1024, "games")


@pytest.mark.parametrize("name", ["reset_mid_body", "fin_mid_body", "drop", "hang", "headers_only"])
def test_the_wire_faults_are_the_same_in_a_thread(name):
    with FaultServer(label_for=lambda _: "games") as server:
        server.script([name])
        got = asyncio.run(post(server, chat("x"), seconds=0.2))
    ends = {"reset_mid_body": "reset", "fin_mid_body": "closed", "drop": "closed"}
    assert got.end == ends.get(name, "silent")
