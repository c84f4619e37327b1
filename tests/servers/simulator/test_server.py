"""The simulator as its clients see it: aiohttp's client, Python's own, and bare sockets."""

import asyncio
import http.client
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

import aiohttp
import pytest

from pipeline.config.simulate.latency import Fixed, Lognormal
from pipeline.servers.simulator import server as server_module
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import Outage, SimulatorSettings
from tests.faultserver.client import LABELS, Got, ask, chat, get, line, post, request, until
from tests.specification import REPLY, problems

CHAT = "/v1/chat/completions"


@contextmanager
def pythons_client(server: Simulator) -> Iterator[http.client.HTTPConnection]:
    """Give one connection of the standard library's client, for use in a thread."""
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(server.base_url).port, timeout=10)
    yield connection
    connection.close()


def answered(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    connection.request(method, path, body, headers)
    reply = connection.getresponse()
    return reply.status, reply.headers, reply.read()


async def test_a_reply_has_all_parts_of_a_completion():
    async with Simulator() as server:
        got = await ask(server, "x")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["x-request-id"] == "req_00000001"
    assert (got.json["object"], got.json["model"]) == ("chat.completion", "m")
    assert got.json["choices"][0]["finish_reason"] == "stop"
    assert got.label in LABELS
    assert problems(got.json, REPLY) == []


async def test_the_same_text_gets_the_same_label_from_any_simulator():
    async with Simulator() as one, Simulator() as other:
        labels = [[(await ask(server, f"row {n}")).label for n in range(30)] for server in (one, other)]
    assert labels[0] == labels[1]
    assert set(labels[0]) == set(LABELS)


async def test_aiohttps_client_is_served_many_requests_at_once():
    async with Simulator(SimulatorSettings(latency=Fixed(0.05))) as server:
        async with aiohttp.ClientSession() as session:
            replies = await asyncio.gather(
                *[
                    session.post(f"{server.base_url}/chat/completions", data=chat(f"row {n}"))
                    for n in range(20)
                ]
            )
            bodies = [await reply.json() for reply in replies]
        assert all(body["usage"]["prompt_tokens"] > 0 for body in bodies)
        assert (server.log.requests, server.log.billed, server.max_in_flight) == (20, 20, 20)


async def test_pythons_own_client_keeps_one_connection_for_requests_of_all_kinds():
    def all_kinds(server: Simulator) -> list[tuple[int, Mapping[str, str], bytes]]:
        with pythons_client(server) as connection:
            connection.connect()
            local = connection.sock.getsockname()
            kinds = [
                answered(connection, "POST", CHAT, chat("x")),
                answered(connection, "GET", "/v1/models/m"),
                answered(connection, "HEAD", "/v1/models/m"),
                answered(connection, "GET", "/v1/nothing"),
                answered(connection, "GET", CHAT),
                answered(connection, "POST", CHAT, b"{no json"),
                answered(connection, "POST", CHAT, chat("x"), Authorization="Bearer sk-any"),
            ]
            assert connection.sock.getsockname() == local
            return kinds

    async with Simulator() as server:
        kinds = await asyncio.to_thread(all_kinds, server)
    assert [status for status, _, _ in kinds] == [200, 200, 200, 404, 405, 400, 200]
    assert json.loads(kinds[1][2])["id"] == "m"
    assert (kinds[2][1]["Content-Length"], kinds[2][2]) == (str(len(kinds[1][2])), b"")
    assert kinds[4][1]["Allow"] == "POST"
    for status, headers, body in kinds:
        assert headers["Content-Type"] == "application/json"
        if status >= 400:
            error = json.loads(body)["error"]
            assert error.keys() == {"message", "type", "param", "code"}
            assert (bool(error["message"]), error["type"]) == (True, "invalid_request_error")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "no such path"),
        ("POST", "/chat/completions", 404, "no such path"),
        ("GET", "/v1/modelsx", 404, "no such path"),
        ("DELETE", CHAT, 405, "no such method"),
        ("POST", "/v1/models", 405, "no such method"),
    ],
)
async def test_what_is_nowhere_is_refused_and_counted(method: str, path: str, status: int, reason: str):
    async with Simulator() as server, line(server) as connection:
        got = await connection.send(request(b"", path=path, method=method))
        assert (got.status, server.log.reasons) == (status, {reason: 1})
        assert path in got.json["error"]["message"]
        assert (await connection.send(request(chat("x")))).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"model": "m"}',
        b'{"messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": []}',
        b"\xff",
    ],
)
async def test_what_is_no_request_for_a_completion_is_a_400(body: bytes):
    async with Simulator() as server, line(server) as connection:
        got = await connection.send(request(body))
        assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")
        assert (server.log.chats, server.log.reasons) == (0, {"unreadable request": 1})
        assert (await connection.send(request(chat("x")))).status == 200


async def test_a_body_that_is_too_large_is_a_413(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "MAX_BODY_BYTES", 100_000)
    async with Simulator() as server:
        got = await post(server, chat("x" * 200_000))
        assert (got.status, got.json["error"]["type"]) == (413, "invalid_request_error")
        assert (await ask(server, "x" * 50_000)).status == 200


async def test_a_body_may_come_in_chunks_or_after_a_100():
    body = chat("x")
    chunked = b"".join(
        b"%x\r\n%b\r\n" % (len(body[at : at + 50]), body[at : at + 50]) for at in range(0, len(body), 50)
    )
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\n"
    async with Simulator() as server, line(server) as connection:
        data = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked + b"0\r\n\r\n"
        assert (await connection.send(data)).label in LABELS
        connection.writer.write(f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert await connection.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await connection.send(body)).label in LABELS


async def test_requests_on_one_connection_are_answered_in_turn():
    async with Simulator() as server, line(server) as connection:
        connection.writer.write(request(chat("a")) * 3)
        async with asyncio.timeout(5):
            for _ in range(3):
                head = await connection.reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 OK")
                await connection.reader.readexactly(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
        assert server.max_in_flight == 1


@pytest.mark.parametrize("data", [b"rubbish\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"x" * 70_000 + b"\r\n\r\n"])
async def test_what_is_no_http_gets_400_and_a_closed_connection_and_no_noise(
    data: bytes, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    async with Simulator() as server, line(server) as connection:
        assert (await connection.send(data)).status == 400
        assert await connection.reader.read() == b""
        assert (await ask(server, "x")).status == 200
    assert caplog.records == []


async def test_an_error_of_our_own_is_a_500_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with Simulator() as server:
        monkeypatch.setattr(server._service, "chat", lambda _: 1 / 0)
        assert (await ask(server, "x")).status == 500
    assert "ZeroDivisionError" in caplog.text


async def test_models_are_known_by_their_names_even_with_a_slash():
    async with Simulator(SimulatorSettings(models=("some/model",), prices=(1e-6, 2e-6))) as server:
        for path in ("/v1/models/some/model", "/v1/models/some%2Fmodel"):
            found = (await get(server, path)).json
            assert (found["id"], found["pricing"]["output_cost_per_token"]) == ("some/model", 2e-6)
        assert [model["id"] for model in (await get(server, "/v1/models")).json["data"]] == ["some/model"]
        assert (await get(server, "/v1/models/m")).json["error"]["code"] == "model_not_found"
        got = await ask(server, "x")
        assert (got.status, got.json["error"]["code"]) == (404, "model_not_found")
        assert "cost" not in (await ask(server, "x", model="some/model")).json["usage"]


async def test_latency_is_as_settled_and_grows_beyond_the_capacity():
    async with Simulator(SimulatorSettings(latency=Fixed(0.1), capacity=2)) as server:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await ask(server, "x")
        assert loop.time() - begun >= 0.1
        begun = loop.time()
        await asyncio.gather(*[ask(server, f"row {n}") for n in range(8)])
        assert loop.time() - begun >= 0.4


async def test_an_answer_whose_asker_has_gone_is_billed_all_the_same():
    async with Simulator(SimulatorSettings(latency=Fixed(0.5))) as server:
        async with line(server) as connection:
            connection.writer.write(request(chat("x")))
            await until(lambda: server._service.in_flight == 1)
        await until(lambda: server._service.in_flight == 0)
        assert server.log.billed == 0
        await until(lambda: server.log.billed == 1)


async def test_it_ends_at_once_whatever_it_was_answering():
    async with Simulator(SimulatorSettings(latency=Lognormal(60))) as server, line(server) as connection:
        connection.writer.write(request(chat("x")))
        await until(lambda: server._service.in_flight == 1)
    assert (server.log.requests, server._service.in_flight) == (0, 0)


async def test_an_outage_refuses_connections_and_its_end_lets_them_in_on_the_same_port():
    async with (
        Simulator(SimulatorSettings(outages=(Outage(0.2, 0.3),))) as server,
        line(server) as connection,
    ):
        assert (await connection.send(request(chat("x")))).status == 200
        assert await connection.reader.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await ask(server, "x")
        await asyncio.sleep(0.4)
        assert (await ask(server, "x")).status == 200


async def test_what_is_being_answered_when_an_outage_begins_is_lost_and_not_billed():
    settings = SimulatorSettings(latency=Fixed(0.2), outages=(Outage(0.1, 60),))
    async with Simulator(settings) as server, line(server) as connection:
        assert (await connection.send(request(chat("x")))).end in {"closed", "reset"}
        await asyncio.sleep(0.3)
        assert (server.log.requests, server._service.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "seen"), [("429", (429, "whole")), ("503", (503, "whole")), ("hang", (0, "silent"))]
)
async def test_an_outage_can_be_429_or_503_or_silence(kind: str, seen: tuple[int, str]):
    async with Simulator(SimulatorSettings(outages=(Outage(0, 60, kind),))) as server:
        await asyncio.sleep(0.01)
        for path, method in ((CHAT, "POST"), ("/v1/models/m", "GET"), ("/nowhere", "GET")):
            async with line(server) as connection:
                got = await connection.send(request(chat("x"), path=path, method=method), seconds=0.1)
            assert (got.status, got.end) == seen
        assert server.log.reasons == {"outage": 3}


async def test_a_port_that_is_taken_is_an_error():
    async with Simulator() as server:
        port = urlsplit(server.base_url).port
        with pytest.raises(OSError, match="in use"):
            await Simulator(SimulatorSettings(port=port)).__aenter__()
    async with Simulator(SimulatorSettings(port=port)) as again:
        got: Got = await ask(again, "x")
        assert got.status == 200
