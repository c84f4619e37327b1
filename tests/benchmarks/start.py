"""How long the commands take to start: medians of wall and CPU seconds.

    python -m tests.benchmarks.start [--times 11] [--rows 10000000] [--keep FOLDER]

`--help`; `check` of a small job; `run` of it, until its first request reaches a server on loopback; `run` again once
it is done. With `--rows` also `run` again of a finished job with so many rows; building that takes 15 minutes and 8 GB
for 10 million rows.
"""

import argparse
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from tests.benchmarks import killed
from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import NOTHING, serve
from tests.benchmarks.speed import knows_report, make_table, write_config

ROWS = 2_000
COMMAND = (sys.executable, "-m", "pipeline")


class Took(NamedTuple):
    """What a command took: seconds on the wall and of the processor."""

    wall: float
    cpu: float


def to_end(*arguments: str) -> Took:
    """Run a command to its end."""
    began = time.monotonic()
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ended(process, began)


def ended(process: subprocess.Popen[bytes], began: float, *, status: int = 0) -> Took:
    """Wait for the end of *process*, which is to have that *status*."""
    _, code, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(code)
    if process.returncode != status:
        raise SystemExit(f"{process.args!r}: status {process.returncode}")
    return Took(seconds, used.ru_utime + used.ru_stime)


@contextmanager
def listener() -> Iterator[tuple[str, "queue.Queue[float]"]]:
    """Listen on loopback; gives the base URL, and the times at which chat requests come in. Nobody answers them."""
    seen: queue.Queue[float] = queue.Queue()

    def attend(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(1 << 16):
                if data.startswith(b"POST"):
                    seen.put(time.monotonic())
                else:
                    connection.sendall(NOTHING)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=attend, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1", seen
        server.shutdown(socket.SHUT_RDWR)


def to_first_request(
    folder: Path, base_url: str, seen: "queue.Queue[float]", python: str = sys.executable
) -> Took:
    """Run the job in *folder* from nothing until it asks, then kill it; its CPU seconds are those until the kill."""
    shutil.rmtree(folder / "state", ignore_errors=True)
    config = write_config(folder, base_url, knows_report=knows_report(python))
    began = time.monotonic()
    process = subprocess.Popen(
        [python, "-m", "pipeline", "run", str(config), "--quiet"], stderr=subprocess.DEVNULL
    )
    asked = seen.get(timeout=60)
    process.kill()
    took = ended(process, began, status=-9)
    while not seen.empty():  # the requests that came with the first one
        seen.get()
    return Took(asked - began, took.cpu)


def report(what: str, times: int, take: Callable[[], Took]) -> None:
    """Print the medians of what *take* took."""
    take()  # fills the page cache and writes the bytecode
    found = [take() for _ in range(times)]
    wall, cpu = (median(column) for column in zip(*found, strict=True))
    sys.stdout.write(f"{what:<40} {wall:6.3f} s, {cpu:6.3f} s CPU\n")
    sys.stdout.flush()


def finish_large(folder: Path, rows: int) -> Path:
    """Make a finished job with so many rows; returns its config."""
    killed.build_once(folder, rows)
    killed.renew(folder)
    with endpoint(serve) as base_url:
        config = killed.write_config(folder, base_url)
        to_end("run", str(config), "--quiet")
    return config


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=11, help="how often each command is run")
    parser.add_argument("--rows", type=int, help="rows of a large finished job")
    parser.add_argument("--keep", type=Path, help="keep the state of the large job here, for the next time")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="start-") as name:
        folder = Path(name)
        make_table(folder, ROWS)
        report("--help", chosen.times, lambda: to_end("--help"))
        with endpoint(serve) as base_url:
            config = str(write_config(folder, base_url))
            report("check", chosen.times, lambda: to_end("check", config))
            report(f"run again, {ROWS:,} rows", chosen.times, lambda: to_end("run", config, "--quiet"))
        with listener() as (base_url, seen):
            report(
                "run, to its first request", chosen.times, lambda: to_first_request(folder, base_url, seen)
            )
        if chosen.rows:
            large = (chosen.keep or folder).absolute() / f"rows-{chosen.rows}"
            config = str(finish_large(large, chosen.rows))
            report(f"run again, {chosen.rows:,} rows", chosen.times, lambda: to_end("run", config, "--quiet"))


if __name__ == "__main__":
    main()
