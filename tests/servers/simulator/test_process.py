"""The simulator as a process of its own."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

from tests.faultserver.client import ask, chat, line, request
from tests.faultserver.log import read_log, repeats

ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, json, sys
from dataclasses import asdict
from pathlib import Path
from pipeline.servers.simulator.process import serve
from pipeline.servers.simulator.settings import SimulatorSettings

settings = SimulatorSettings(log_path=Path(sys.argv[1]), faults={"http_500": 0.2})
served = asyncio.run(serve(settings, lambda url: print(url, flush=True)))
print(json.dumps(asdict(served)))
"""


@asynccontextmanager
async def simulator(log: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, SimpleNamespace]]:
    """Start the program; the second value has the base URL, as a server has."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(log), stdout=pipe, cwd=ROOT
    )
    try:
        url = (await process.stdout.readline()).decode().strip()
        yield process, SimpleNamespace(base_url=url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_it_serves_until_sigterm_and_tells_the_sums(tmp_path: Path):
    async with simulator(tmp_path / "log.jsonl") as (process, server):
        statuses = [(await ask(server, f"row {n}")).status for n in range(30)]
        process.send_signal(signal.SIGTERM)
        out, _ = await process.communicate()
    served = json.loads(out)
    assert process.returncode == 0
    assert (served["requests"], served["billed"], served["repeats"]) == (30, statuses.count(200), 0)


async def test_a_killed_server_leaves_whole_lines(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    async with simulator(path) as (process, server), line(server) as connection:
        answered = 0

        async def kill_later() -> None:
            while answered <= 10:  # noqa: ASYNC110 - the answers come on this very loop
                await asyncio.sleep(0)
            process.kill()

        killing = asyncio.create_task(kill_later())
        while (await connection.send(request(chat(f"row {answered}")))).status:
            answered += 1
        await killing
    entries = read_log(path)
    assert answered <= len(entries) <= answered + 1
    assert answered > 10
    assert repeats(entries) == {}
    assert path.read_bytes().endswith(b"\n")


def test_its_modules_know_nothing_of_the_floors_above_and_load_no_tables():
    code = "import sys, pipeline.servers.simulator.process; print([name for name in sys.modules])"
    names = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for unwanted in ("polars", "pyarrow", "pipeline.llm", "pipeline.inputs", "pipeline.ledger"):
        assert repr(unwanted) not in names
