"""The fault server takes its time, goes away and comes back, and runs wherever it is wanted."""

import asyncio
import ssl
from contextlib import AsyncExitStack

import pytest

from pipeline.config.simulate.latency import Fixed, Lognormal
from pipeline.servers.simulator.settings import Outage
from tests.faultserver.client import ask, chat, line, post, request, until
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings


async def test_latency_is_as_settled():
    async with FaultServer(FaultServerSettings(latency=Fixed(0.05))) as server:
        await ask(server, "x")
        assert server.entries[0].latency_seconds >= 0.05


async def test_latency_grows_with_what_is_in_flight_beyond_the_capacity():
    async with FaultServer(FaultServerSettings(latency=Fixed(0.05), capacity=2)) as server:
        await asyncio.gather(*[ask(server, f"row {n}") for n in range(8)])
        assert server.max_in_flight == 8
        assert max(entry.latency_seconds for entry in server.entries) >= 0.2
        assert server.in_flight == 0


async def test_an_answer_whose_asker_has_gone_is_billed_all_the_same():
    async with FaultServer(FaultServerSettings(latency=Fixed(0.1))) as server:
        async with line(server) as connection:
            connection.writer.write(request(chat("x")))
            await until(lambda: server.in_flight == 1)
        await until(lambda: server.in_flight == 0)
        assert server.billed == 1


async def test_a_stopped_server_forgets_what_it_was_answering():
    async with FaultServer(FaultServerSettings(latency=Lognormal(60))) as server, line(server) as connection:
        connection.writer.write(request(chat("x")))
        await until(lambda: server.in_flight == 1)
    assert (server.requests, server.in_flight) == (0, 0)


async def test_a_server_can_be_started_again_on_its_port_while_old_connections_linger():
    async with AsyncExitStack() as clients:
        async with FaultServer() as first:
            connection = await clients.enter_async_context(line(first))
            await connection.send(request(chat("x")))
        port = int(first.base_url.split(":")[2].split("/")[0])
        async with FaultServer(FaultServerSettings(port=port)) as second:
            assert (await ask(second, "x")).status == 200
            with pytest.raises(OSError, match="in use"):
                await FaultServer(FaultServerSettings(port=port)).__aenter__()


async def test_an_outage_refuses_connections_and_its_end_lets_them_in_on_the_same_port():
    async with FaultServer() as server, line(server) as connection:
        await connection.send(request(chat("x")))
        server.start_outage()
        with pytest.raises(ConnectionRefusedError):
            await ask(server, "x")
        async with asyncio.timeout(2):
            assert await connection.reader.read() == b""
        server.stop_outage()
        assert (await ask(server, "x")).status == 200


async def test_an_outage_can_be_503_or_silence():
    async with FaultServer() as server:
        server.start_outage("503")
        assert (await ask(server, "x")).status == 503
        server.start_outage("hang")
        assert (await post(server, chat("x"), seconds=0.1)).end == "silent"
        server.stop_outage()
        assert (await ask(server, "x")).status == 200
        assert [entry.fault for entry in server.entries] == ["outage", "outage", None]


async def test_outages_and_capacity_can_be_planned():
    settings = FaultServerSettings(outages=(Outage(0.5, 0.5, "503"),), capacity_changes=((0.5, 3),))
    async with FaultServer(settings) as server:
        found = [((await ask(server, "x")).status, server.capacity)]
        while len(found) < 3:  # before it, in it, after it
            status = (await ask(server, "x")).status
            if status != found[-1][0]:
                found.append((status, server.capacity))
    assert found == [(200, None), (503, 3), (200, 3)]


def test_it_runs_in_a_thread_of_its_own():
    with FaultServer(label_for={"a mixer": "sound"}.__getitem__) as server:
        assert asyncio.run(ask(server, "a mixer")).label == "sound"
        server.start_outage()
        with pytest.raises(ConnectionRefusedError):
            asyncio.run(ask(server, "a mixer"))
        server.stop_outage()
        assert asyncio.run(ask(server, "a mixer")).label == "sound"
        assert server.requests == 2


async def test_a_port_that_is_taken_is_an_error():
    async with FaultServer() as server:
        port = int(server.base_url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match="in use"):
            await FaultServer(FaultServerSettings(port=port)).__aenter__()
        with pytest.raises(OSError, match="in use"), FaultServer(FaultServerSettings(port=port)):
            pass


async def test_it_can_speak_tls_with_a_certificate_that_nobody_trusts(untrusted: ssl.SSLContext):
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    async with FaultServer(tls=untrusted) as server:
        assert server.base_url.startswith("https://")
        async with line(server, trusting) as connection:
            assert (await connection.send(request(chat("x")))).status == 200
        try:
            async with line(server, ssl.create_default_context()):
                raise AssertionError("the certificate was trusted")
        except ssl.SSLCertVerificationError:
            pass
        assert server.requests == 1
