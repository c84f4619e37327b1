"""Whether a run stays what it is when the table grows: CPU a row, peak memory, requests in flight.

    python -m tests.benchmarks.growth [--rows 20000,200000,1000000] [CASE ...]

Without names all cases are measured:

    size    tables of 20,000 rows and more, against a server that answers at once (10 million rows: --rows 10000000)
    borders 20,480 rows, against one that takes 0.2 s: how many requests it has at once, also where a chunk ends
    long    texts of 10 KB and of 100 KB, 2,000 and 5,000 of them
"""

import argparse
import asyncio
import json
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import orjson
import polars as pl
import uvloop

from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import Instant, serve
from tests.benchmarks.speed import TABLE, Use, make_table, use, write_config

IN_FLIGHT = 256
LATENCY_SECONDS = 0.2
SAMPLE_SECONDS = 0.005
BORDER_ROWS = 20_480
"""Five chunks."""

BORDER_RUNS = 5
STRIDE = 256
"""Rows that are looked at together."""

LONG = ((10_000, 2_000), (100_000, 2_000), (100_000, 5_000))
"""Bytes of a text, and how many there are."""

SAMPLES_PATH = b"GET /v1/samples "


class Watch:
    """Answers late, and notes how many requests there are at once: (answered so far, in flight)."""

    def __init__(self) -> None:
        self.answered = self.in_flight = 0
        self.samples: list[tuple[int, int]] = []

    def sample(self) -> None:
        """Take a sample now, and again and again."""
        if self.in_flight:
            self.samples.append((self.answered, self.in_flight))
        asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self.sample)


class Slow(Instant):
    """A connection to a server that takes its time."""

    def __init__(self, watch: Watch) -> None:
        super().__init__()
        self._watch = watch

    def data_received(self, data: bytes) -> None:
        """Answer a question about the samples at once."""
        if data.startswith(SAMPLES_PATH):
            body = orjson.dumps(self._watch.samples)
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        else:
            super().data_received(data)

    def answer(self, response: bytes) -> None:
        """Send *response* later."""
        self._watch.in_flight += 1
        asyncio.get_running_loop().call_later(LATENCY_SECONDS, self._send, response)

    def _send(self, response: bytes) -> None:
        self._watch.in_flight -= 1
        self._watch.answered += 1
        self._transport.write(response)


def serve_slowly(pipe: Connection) -> None:
    """Serve until the other end of *pipe* closes."""

    async def until_told() -> None:
        watch = Watch()
        watch.sample()
        server = await asyncio.get_running_loop().create_server(
            lambda: Slow(watch), "127.0.0.1", 0, backlog=4096
        )
        pipe.send(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        await asyncio.to_thread(pipe.poll, None)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(until_told())


def measured(base_url: str, folder: Path, rows: int, **task: object) -> Use:
    """Run the job on the table in *folder*, from nothing to the published output."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        (Path(name) / TABLE).symlink_to(folder / TABLE)
        config = write_config(Path(name), base_url)
        settings = json.loads(config.read_text())
        settings["task"] |= task
        config.write_text(json.dumps(settings))
        found = use(["-m", "pipeline", "run", str(config), "--quiet"], rows)
        assert pl.scan_parquet(Path(name) / "out.parquet").select(pl.len()).collect().item() == rows
        return found


def tell(what: str, found: Use) -> None:
    """Print what a run used."""
    sys.stdout.write(
        f"{what:<28} {found.cpu:7.1f} us CPU a row, {found.speed:6,.0f} rows/s, {found.peak:4.0f} MB peak RSS\n"
    )
    sys.stdout.flush()


def size(folder: Path, sizes: Sequence[int]) -> None:
    """Measure tables of several sizes."""
    found = []
    with endpoint(serve) as base_url:
        for rows in sizes:
            make_table(folder, rows)
            found.append(measured(base_url, folder, rows))
            tell(f"{rows:,} rows", found[-1])
    ratios = [getattr(found[-1], what) / getattr(found[0], what) for what in ("cpu", "peak")]
    sys.stdout.write(
        "from the first to the last: {:.2f} x the CPU a row, {:.2f} x the memory\n".format(*ratios)
    )


def borders(folder: Path, sizes: Sequence[int]) -> None:
    """Measure how many requests are in flight between the first chunk and the end.

    What the machine does beside dents each run at another place, what a run does at a border all of them at the same:
    of each few rows the best run counts.
    """
    del sizes
    make_table(folder, BORDER_ROWS)
    best: Counter[int] = Counter()
    for _ in range(BORDER_RUNS):
        for place, fewest in fewest_in_flight(folder).items():
            best[place] = max(best[place], fewest)
    first, *middle = [place for place in sorted(best) if place * STRIDE < BORDER_ROWS - 2 * IN_FLIGHT]
    while best[first] < 0.95 * IN_FLIGHT:
        first, *middle = middle
    for place in middle:
        if best[place] < 0.9 * IN_FLIGHT:
            sys.stdout.write(f"after {place * STRIDE:,} rows: {best[place]} in flight\n")
    lowest = min(best[place] for place in middle)
    sys.stdout.write(f"of {IN_FLIGHT} allowed in flight: at the least {lowest} ({lowest / IN_FLIGHT:.0%})\n")


def fewest_in_flight(folder: Path) -> dict[int, int]:
    """Run the job; returns for each STRIDE rows the least number of requests in flight meanwhile."""
    with endpoint(serve_slowly) as base_url:
        measured(base_url, folder, BORDER_ROWS)
        with urllib.request.urlopen(f"{base_url}/samples") as reply:
            samples = json.load(reply)
    fewest: dict[int, int] = {}
    for answered, in_flight in samples:
        place = answered // STRIDE
        fewest[place] = min(fewest.get(place, in_flight), in_flight)
    return fewest


def long(folder: Path, sizes: Sequence[int]) -> None:
    """Measure long texts."""
    del sizes
    with endpoint(serve) as base_url:
        for length, rows in LONG:
            words = "a word and another one, " * (length // 24)
            texts = pl.Series([f"row {row} {words}" for row in range(rows)])
            pl.DataFrame({"text": texts}).write_parquet(folder / TABLE, row_group_size=1_000)
            found = measured(base_url, folder, rows, max_text_tokens=length)
            tell(f"{rows:,} rows of {length:,} bytes", found)
            sys.stdout.write(f"{'':<28} {found.cpu / length * 1000:7.1f} us CPU a thousand bytes\n")


CASES: dict[str, Callable[[Path, Sequence[int]], None]] = {"size": size, "borders": borders, "long": long}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"one of {', '.join(CASES)}")
    parser.add_argument("--rows", default="20000,200000,1000000", help="rows of the tables, with commas")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="growth-") as name:
        for case in chosen.cases or CASES:
            CASES[case](Path(name), [int(rows) for rows in chosen.rows.split(",")])


if __name__ == "__main__":
    main()
