"""A job against a simulator in another process, and what the simulator saw of it."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl

from pipeline.servers.simulator.log import Entry
from tests.benchmarks.apart import endpoint
from tests.faultserver.log import read_log
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings


def serve(pipe: Connection, settings: FaultServerSettings) -> None:
    """Simulate until the other end of *pipe* closes."""

    async def until_told() -> None:
        async with FaultServer(settings) as server:
            pipe.send(server.base_url)
            await asyncio.to_thread(pipe.poll, None)

    asyncio.run(until_told())


def rehearse(
    texts: Sequence[str], limits: Mapping[str, object], seconds: float | None = None, **settings: object
) -> list[Entry]:
    """Run a job over *texts* with *limits*, to its end or for so many seconds; returns the simulator's log.

    Args:
        texts: The rows.
        limits: The config's section of that name.
        seconds: How long at most; None for as long as it takes.
        settings: The simulator's.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        log = folder / "server.jsonl"
        simulator = FaultServerSettings(
            keep_entries=False, count_repeats=False, log_path=log, **{"faults": {}, **settings}
        )
        pl.DataFrame({"text": texts}).write_parquet(folder / "in.parquet")
        with endpoint(serve, simulator) as base_url:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "pipeline",
                    "run",
                    str(config_file(folder, limits, base_url)),
                    "--quiet",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL if seconds else None,
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.terminate()
                status = process.wait() and 0
        if status:
            raise SystemExit(f"the run ended with status {status}")
        return sorted((entry for entry in read_log(log) if entry.text), key=lambda entry: entry.at)


def config_file(folder: Path, limits: Mapping[str, object], base_url: str) -> Path:
    path = folder / "job.yaml"
    settings = {
        "input": {"path": "in.parquet"},
        "task": {
            "instructions": "Choose.",
            "text": "{text}",
            "labels": ["games", "sound", "mail"],
            "max_text_tokens": 10_000,
        },
        "model": {"provider": "openai-compatible", "name": "m", "base_url": base_url, "max_tokens": 16},
        "limits": dict(limits),
        "output": {"path": "out.parquet", "report": False},
        "state": {"dir": "state"},
    }
    path.write_text(json.dumps(settings))
    return path
