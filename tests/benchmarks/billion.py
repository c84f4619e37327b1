"""What a billion rows take: a few figures measured here, and what follows from them by multiplication.

    python -m tests.benchmarks.billion [--rows 1000000000] [--slices 16] [--answers 200000]

Measured, as CPU time of this process: reading rows, rendering them and hashing their keys, which each slice does with all rows;
answers in the ledger, in segments of a state in an object store, and brought from there to an empty machine. The store is moto's server
on this machine, so that the network is not in it. What a row takes that is asked about is measured by `make bench`: --cpu-us.
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pipeline.config import load_config
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import all_spans
from pipeline.job.prepare import prepare
from pipeline.job.remote import shipping
from pipeline.job.remote.session import look_at, stored_state
from pipeline.ledger import FILE, open_store
from pipeline.system.places import ObjectPath
from tests.answers import answer
from tests.objectstore.server import Bucket, s3_server

ROOT = Path(__file__).parents[2]
RATES = 500, 10_000, 30_000, 300_000, 700_000
"""Requests a minute."""

REPLY_SECONDS = 0.5
PROMPT_TOKENS, COMPLETION_TOKENS = 338, 12
USD_PER_TOKEN = 0.10e-6, 0.40e-6
"""Of a row of the sample as `plan` has it, at the list price."""

SHIP_SECONDS = shipping.SHIP_SECONDS
USD_PER_PUT, USD_PER_GB_MONTH = 5e-6, 0.023
"""S3's list prices."""

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured: CPU microseconds, and bytes, each a row or an answer."""

    read_us: float
    row_bytes: float
    ledger_bytes: float
    segment_bytes: float
    ship_us: float
    from_segments_us: float
    from_snapshot_us: float


class Cost(NamedTuple):
    """What some work took."""

    seconds: float
    cpu: float


def spent(work: Callable[[], object]) -> Cost:
    """Do *work* and return what it took."""
    began, cpu = time.monotonic(), time.process_time()
    work()
    return Cost(time.monotonic() - began, time.process_time() - cpu)


def reading(folder: Path, rows: int) -> tuple[float, float]:
    """Return the CPU microseconds of reading, rendering and hashing a row of the sample, and the bytes of its text."""
    sample = pl.read_parquet(ROOT / "data/sample/packages.parquet")
    many = pl.concat([sample] * (rows // sample.height + 1)).head(rows).with_row_index("n")
    many = many.with_columns(pl.col("summary") + pl.col("n").cast(pl.String)).drop("n")
    many.write_parquet(folder / "in.parquet", row_group_size=50_000)
    changes = {
        "input.path": str(folder / "in.parquet"),
        "output.path": str(folder / "out.parquet"),
        "state.dir": str(folder / "state"),
    }
    job = prepare(load_config(ROOT / "configs/tags.yaml", overrides=changes))

    def read() -> None:
        for chunk in read_chunks(job.source, job.config.task.columns, all_spans(job.source)):
            job.task.prompts(chunk.columns)

    texts = sample.select(pl.concat_str("summary", "description").str.len_bytes().mean()).item()
    return spent(read).cpu / rows * 1e6, texts


def made(count: int) -> Iterator[Sequence[object]]:
    """Yield answers with the log-probabilities of five tokens, some thousands at a time."""
    dice = random.Random(1)
    for start in range(0, count, 4096):
        yield [
            answer(
                number,
                logprobs=json.dumps([["tok", round(-dice.expovariate(3), 6)] for _ in range(5)]),
                prompt_tokens=PROMPT_TOKENS + dice.randrange(40),
                at=1.8e9 + number / 100,
                request_id=f"chatcmpl-{dice.getrandbits(96):024x}",
            )
            for number in range(start, min(count, start + 4096))
        ]


def storing(folder: Path, answers: int) -> tuple[float, ...]:
    """Return bytes and CPU microseconds an answer: in the ledger, in segments; shipped, restored from segments, and from a snapshot."""
    with s3_server() as url:
        bucket = Bucket(url)
        os.environ.update(bucket.env)
        store, here = ObjectPath(bucket.url("state")), folder / "here"
        shipping.MOST_BYTES, shipping.SHIP_SECONDS = 1 << 40, 1e6  # nothing but what is asked for
        with stored_state(store, here), closing(open_store(here)) as ledger:
            for some in made(answers):
                ledger.append(some)  # type: ignore[arg-type]
            ledger.index()
            began = time.process_time()
        ship = time.process_time() - began
        segments = sum(len(bucket.get(name)) for name in bucket.names("state/seg"))
        there = spent(lambda: look_at(store, folder / "there"))
        shipping.MOST_SEGMENTS = 0
        with stored_state(store, here):
            pass  # replaces the segments by a snapshot
        snapshot = spent(lambda: look_at(store, folder / "last"))
        size = (here / FILE).stat().st_size
    per = 1e6 / answers
    return size / answers, segments / answers, ship * per, there.cpu * per, snapshot.cpu * per


def told(found: Measured, rows: int, slices: int, cpu_us: float) -> Iterator[str]:
    """Yield what was measured, and what follows."""
    yield "measured here"
    yield f"  read, render, hash a row                {found.read_us:8.1f} us, {1e6 / found.read_us:,.0f} rows/s; {found.row_bytes:.0f} bytes of text"
    yield f"  an answer with 5 log-probabilities      {found.ledger_bytes:8.0f} bytes in the ledger, {found.segment_bytes:.0f} in a segment"
    yield f"  ship; restore from segments; a snapshot {found.ship_us:8.1f}; {found.from_segments_us:.1f}; {found.from_snapshot_us:.1f} us"
    yield f"computed for {rows:,} rows, {PROMPT_TOKENS} + {COMPLETION_TOKENS} tokens each, replies after {REPLY_SECONDS} s, {cpu_us:g} us of CPU a row"
    cost = rows * (PROMPT_TOKENS * USD_PER_TOKEN[0] + COMPLETION_TOKENS * USD_PER_TOKEN[1])
    yield f"  at list price ${cost:,.0f}; {rows * cpu_us / 3.6e9:,.0f} core hours to ask"
    for rate in RATES:
        a_second = rate / 60
        yield (
            f"  {rate:9,} requests a minute: {rows / a_second / DAY:9,.1f} days, {rate * (PROMPT_TOKENS + COMPLETION_TOKENS) / 1e6:6.1f} M tokens a minute, "
            f"{a_second * REPLY_SECONDS:6,.0f} in flight, {a_second * cpu_us / 1e6:5.2f} cores"
        )
    part = rows / slices
    yield f"  ledger {rows * found.ledger_bytes / 1e9:,.0f} GB, of each of {slices} slices {part * found.ledger_bytes / 1e9:,.0f} GB"
    yield f"  segments {rows * found.segment_bytes / 1e9:,.0f} GB, ${rows * found.segment_bytes / 1e9 * USD_PER_GB_MONTH:,.2f} a month"
    yield f"  a slice to an empty machine: from segments {part * found.from_segments_us / 6e7:,.0f} minutes, from a snapshot {part * found.from_snapshot_us / 6e7:,.0f}"
    yield f"  reading all rows: {rows * found.read_us / 3.6e9:,.1f} core hours, of {slices} slices {slices * rows * found.read_us / 3.6e9:,.0f}; {rows * found.row_bytes / 1e9:,.0f} GB each time"
    days = rows / (30_000 / 60) / DAY
    puts = slices * days * DAY * (1 / SHIP_SECONDS + 1 / 5)
    yield f"  puts of {slices} slices in {days:,.0f} days (30,000 a minute): {puts / 1e6:,.1f} million, ${puts * USD_PER_PUT:,.0f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, compute, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000_000, help="rows of the job")
    parser.add_argument("--slices", type=int, default=16)
    parser.add_argument(
        "--answers", type=int, default=200_000, help="answers to measure with, and rows to read"
    )
    parser.add_argument("--cpu-us", type=float, default=110, help="CPU of a row that is asked about")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="billion-") as name:
        folder = Path(name)
        read_us, row_bytes = reading(folder, chosen.answers)
        found = Measured(read_us, row_bytes, *storing(folder, chosen.answers))
    sys.stdout.writelines(f"{line}\n" for line in told(found, chosen.rows, chosen.slices, chosen.cpu_us))


if __name__ == "__main__":
    main()
