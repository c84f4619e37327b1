"""Peak memory of a run on 20,000 and on 200,000 rows, against a zero-latency server in another process.

python tests/benchmarks/memory.py
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl
from apart import endpoint

from pipeline.endpoints.simulator import Simulator
from pipeline.endpoints.simulator_settings import SimulatorSettings

SIZES = (20_000, 200_000)


def serve(pipe: Connection) -> None:
    """Answer until the other end of *pipe* closes."""

    async def until_told() -> None:
        async with Simulator(SimulatorSettings(keep_entries=False)) as server:
            pipe.send(server.base_url)
            await asyncio.to_thread(pipe.poll, None)

    asyncio.run(until_told())


def config(folder: Path, base_url: str) -> Path:
    """Write the job's config."""
    path = folder / "job.yaml"
    settings = {
        "input": {"path": "in.parquet"},
        "task": {"instructions": "Choose.", "text": "{text}", "labels": ["games", "sound", "mail"]},
        "model": {"provider": "openai-compatible", "name": "m", "base_url": base_url},
        "limits": {"max_concurrency": 128},
        "output": {"path": "out.parquet"},
        "state": {"dir": "state"},
    }
    path.write_text(json.dumps(settings))
    return path


def measure(rows: int, base_url: str) -> tuple[float, float, float]:
    """Label *rows* rows; return peak RSS in MB, CPU in microseconds a row, rows a second."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [f"row {n} of a table, with some text that is as long as a summary is" for n in range(rows)]
        pl.DataFrame({"id": range(rows), "text": texts}).write_parquet(
            folder / "in.parquet", row_group_size=50_000
        )
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(config(folder, base_url)), "--quiet"],
            stdout=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, process.returncode
        assert pl.scan_parquet(folder / "out.parquet").select(pl.len()).collect().item() == rows
    return used.ru_maxrss / 1024, (used.ru_utime + used.ru_stime) / rows * 1e6, rows / seconds


def main() -> None:
    """Print the table."""
    peaks = []
    with endpoint(serve) as base_url:
        for rows in SIZES:
            peak, cpu, speed = measure(rows, base_url)
            peaks.append(peak)
            sys.stdout.write(
                f"{rows:>9,} rows: {peak:5.0f} MB peak RSS, {cpu:4.0f} us CPU a row, {speed:6.0f} rows/s\n"
            )
    sys.stdout.write(f"growth: {peaks[1] / peaks[0]:.2f}x\n")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    main()
