"""How fast rows are that were answered before: read, key, look-up, part, publish.

    python -m tests.benchmarks.reuse [--rows 1000000] [--ledger 1000000] [--keep FOLDER]

Of the rows of the input one in a hundred has no answer yet and is asked. The ledger may hold more answers than the
input has rows. Each measurement begins with a copy of the state that was built, which --keep keeps for the next time.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow.parquet as pq

from pipeline.inputs.read import read_chunks
from pipeline.job.job import Job
from pipeline.ledger import open_store
from pipeline.ledger.store import Store
from pipeline.records import Span
from tests.benchmarks.apart import endpoint
from tests.benchmarks.instant import serve
from tests.benchmarks.killed import answer_to, prepare_job, write_config
from tests.benchmarks.speed import use

MISSING_EVERY = 100
EARLIER_RUN = "20260101-000000-0000"
ANSWERS_AT_ONCE = 4096


BUILT = "built"


def build_once(folder: Path, rows: int, answers: int) -> None:
    """Make the input in *folder*, and the ledger as `built`, unless they are there."""
    if (folder / BUILT).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.monotonic()
    build(folder, rows, answers)
    (folder / "state").rename(folder / BUILT)
    sys.stderr.write(f"built in {time.monotonic() - started:.0f} s\n")


def build(folder: Path, rows: int, answers: int) -> None:
    """Make the input, and a ledger with *answers* answers, those to 99 % of the rows among them."""
    job = prepare_job(folder, answers)  # the rest are answers to rows that the input no longer has
    with open_store(job.config.state.dir) as store:
        fill(store, job, answers)
        store.index()
    prepare_job(folder, rows)


def fill(store: Store, job: Job, answers: int) -> None:
    """Answer all rows but every hundredth."""
    chunks = read_chunks(job.source, job.config.task.columns, [Span(0, answers)])
    for chunk in chunks:
        prompts = job.task.prompts(chunk.columns)
        known = [prompt for row, prompt in enumerate(prompts, chunk.span.start) if row % MISSING_EVERY]
        store.append(answer_to(prompt, EARLIER_RUN) for prompt in known if prompt)


def renew(folder: Path) -> None:
    """Bring *folder* back to where nothing has run yet, and the files to the disk."""
    (folder / "out.parquet").unlink(missing_ok=True)
    shutil.rmtree(folder / "state", ignore_errors=True)
    shutil.copytree(folder / BUILT, folder / "state")
    os.sync()


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the input")
    parser.add_argument("--ledger", type=int, default=1_000_000, help="answers in the ledger")
    parser.add_argument("--keep", type=Path, help="keep the built state here, for the next time")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="reuse-") as name, endpoint(serve) as base_url:
        folder = (chosen.keep or Path(name)).absolute() / f"rows-{chosen.rows}-of-{chosen.ledger}"
        build_once(folder, chosen.rows, max(chosen.rows, chosen.ledger))
        renew(folder)
        found = use(["-m", "pipeline", "run", str(write_config(folder, base_url)), "--quiet"], chosen.rows)
        assert pq.read_metadata(folder / "out.parquet").num_rows == chosen.rows
        sys.stdout.write(
            f"{chosen.rows:,} rows, {chosen.ledger:,} answers: {found.speed:,.0f} rows/s, "
            f"{found.cpu:.1f} us CPU a row, {found.peak:.0f} MB\n"
        )


if __name__ == "__main__":
    main()
