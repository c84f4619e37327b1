"""Compare a folder of many small files with one file of the same rows, at replies of 0.2 s and 256 in flight.

    .venv/bin/python -m tests.benchmarks.files [FILES] [PAIRS]

Prints for each run its seconds, its processor time and the peak of its memory, then the ratio of the medians. A file
has 5 rows; there are 10,000 files unless another number is given. The endpoint is the simulator in the run's own process.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import polars as pl

ROWS_A_FILE = 5


def main(files: int = 10_000, pairs: int = 3) -> None:
    """Run both jobs *pairs* times, in turn."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        tables(folder, files)
        times: dict[str, list[float]] = {"one": [], "many": []}
        for _ in range(pairs):
            for name, found in times.items():
                seconds, cpu, memory = measured(folder, name)
                found.append(seconds)
                print(f"{name:5} {seconds:7.1f} s {cpu:7.1f} s CPU {memory:5.0f} MB", flush=True)
        print(f"many files take {median(times['many']) / median(times['one']):.2f} x the time of one")


def tables(folder: Path, files: int) -> None:
    """Write the rows as one file, and as many."""
    rows = pl.DataFrame({"id": range(files * ROWS_A_FILE)})
    rows = rows.with_columns(text=pl.format("row {} has some words of its own", "id"))
    (folder / "many").mkdir()
    (folder / "one").mkdir()
    rows.write_parquet(folder / "one" / "all.parquet")
    for number in range(files):
        part = rows.slice(number * ROWS_A_FILE, ROWS_A_FILE)
        part.write_parquet(folder / "many" / f"part-{number:06}.parquet")
    for name in ("one", "many"):
        job = {
            "input": {"path": name},
            "task": {"kind": "single", "instructions": "Good or bad?", "text": "{text}", "labels": ["good", "bad"]},
            "model": {"provider": "simulate"},
            "limits": {"max_concurrency": 256},
            "simulate": {"latency": "0.2"},
            "output": {"path": f"out-{name}", "report": False},
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(json.dumps(job))  # JSON is YAML


def measured(folder: Path, name: str) -> tuple[float, float, float]:
    """Run a job from nothing; return its seconds, its processor time and the peak of its memory in MB."""
    for left in (folder / ".pipeline", folder / f"out-{name}.simulated"):
        subprocess.run(["rm", "-rf", str(left)], check=True)
    began = time.monotonic()
    job = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "run", str(folder / f"{name}.yaml"), "--quiet"],
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(job.pid, 0)
    assert status == 0
    return time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
