"""Each of the simulator's faults does over HTTP what its line says."""

import asyncio
import re

import pytest

from pipeline.config.simulate.faults import Fault
from pipeline.servers.simulator.faults import ACTS
from pipeline.servers.simulator.server import Simulator
from pipeline.servers.simulator.settings import SimulatorSettings
from tests.faultserver.client import BILLED, ask, chat, line, request
from tests.faultserver.faults import FAULTS
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings

SERVERS_OWN = {"date", "server", "retry-after"}


def test_every_fault_has_its_act():
    assert set(ACTS) == set(Fault)


@pytest.mark.parametrize("fault", Fault)
def test_every_fault_says_in_one_line_what_it_does(fault: Fault):
    assert re.fullmatch(r"[^\n]{10,100}[^\n.]", fault.description)


@pytest.mark.parametrize("name", list(Fault))
async def test_a_fault_comes_over_http_as_the_raw_server_sends_it_and_the_simulator_lives_on(name: str):
    faults = {name: 1.0}
    seen = []
    for server in (
        Simulator(SimulatorSettings(faults=faults)),
        FaultServer(FaultServerSettings(faults=faults)),
    ):
        async with server, line(server) as connection:
            got = await connection.send(request(chat("x")), seconds=0.2)
            headers = {name: value for name, value in got.headers.items() if name not in SERVERS_OWN}
            seen.append((got.status, headers, got.body, got.end))
            await ask(server, "y", model=None)
            assert (server.log.requests, server.log.billed) == (2, name in BILLED)
            assert server.log.reasons == {name: 1, "unreadable request": 1}
    assert seen[0] == seen[1]


async def test_a_request_that_hangs_is_given_up_with_its_connection():
    async with Simulator(SimulatorSettings(faults={"hang": 1.0})) as server:
        async with line(server) as connection:
            assert (await connection.send(request(chat("x")), seconds=0.1)).end == "silent"
            assert server._service.in_flight == 1
        await asyncio.sleep(0.05)
        assert server._service.in_flight == 0


async def test_what_is_dropped_is_closed_without_a_byte():
    async with Simulator(SimulatorSettings(faults={"drop": 1.0})) as server, line(server) as connection:
        got = await connection.send(request(chat("x")))
    assert (got.status, got.body, got.end) == (0, b"", "closed")


def test_all_faults_of_the_simulator_are_the_fault_servers_too():
    assert set(Fault) < set(FAULTS)
