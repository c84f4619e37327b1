"""Kill anywhere, damage what may be damaged: the run that ends well gives what an undisturbed run gives.

Each example is a small job that is interrupted, damaged and continued a few times by a plan that hypothesis draws.
"""

import asyncio
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config import Config
from pipeline.config.simulate.latency import Uniform
from pipeline.errors import PipelineError
from pipeline.inputs.read import CHUNK_ROWS
from pipeline.ledger import FILE, open_store
from tests.faultserver.server import FaultServer
from tests.faultserver.settings import FaultServerSettings
from tests.jobs import JobFiles, asked, chunk_of, right_label, run_job, some_rows

ROWS, FILE_ROWS = 120, 20
IN_FLIGHT = 8
COMMIT = 64
"""Answers that a kill may cost beyond those in flight: what arrives within one commit of 50 ms, generously."""

BOOKKEEPING = ["label_run", "label_model"]


@dataclass(frozen=True)
class Blow:
    """One interruption, after so many answers, and what is done to the state before the next start."""

    answers: int
    how: str
    damages: list[tuple[str, float]] = field(default_factory=list)


BLOWS = st.lists(
    st.builds(
        Blow,
        answers=st.integers(0, ROWS + 10),
        how=st.sampled_from(["cancel", "cancel twice", "let it finish"]),
        damages=st.lists(
            st.tuples(
                st.sampled_from(
                    ["delete part", "flip part", "cut part", "litter", "delete output", "forget run"]
                ),
                st.floats(0, 0.999),
            ),
            max_size=4,
        ),
    ),
    max_size=4,
)


def make_job(folder: Path, server: FaultServer, rows: list[str | None]) -> JobFiles:
    """Each file is a chunk, so that there are parts to damage."""
    job = JobFiles(folder, server.base_url)
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for number in range(0, len(rows), FILE_ROWS):
        table = pa.table({"text": pa.array(chunk_of(rows[number : number + FILE_ROWS]), pa.string())})
        pq.write_table(table, folder / "in" / f"{number:04}.parquet")
    job.set(input={"path": "in"}, output={"path": "out"}, limits={"max_concurrency": IN_FLIGHT})
    return job


def output(job: JobFiles) -> pl.DataFrame:
    """The rows that were given, without those that fill the chunks."""
    return pl.concat([pl.read_parquet(path).head(FILE_ROWS) for path in sorted(job.output.iterdir())])


def durable_answers(folder: Path) -> int:
    """How many answers the ledger holds now."""
    if not (folder / "state" / FILE).exists():
        return 0
    with open_store(folder / "state") as store:
        return len(list(store.answers()))


def damage(job: JobFiles, folder: Path, kind: str, where: float) -> None:
    """Do what a disk or a person may do to anything but the ledger."""
    parts = sorted((folder / "state" / "runs").rglob("r*.arrow"))
    part = parts[int(where * len(parts))] if parts else None
    if kind == "delete output":
        shutil.rmtree(job.output, ignore_errors=True)
    elif kind == "forget run":
        for record in (folder / "state" / "runs").rglob("run.json"):
            record.write_bytes(record.read_bytes()[: int(where * 100)])
    elif part is None:
        return
    elif kind == "delete part":
        part.unlink()
    elif kind == "litter":
        part.with_name(f".{part.name}.999999999.tmp").write_bytes(b"half")
    else:
        content = bytearray(part.read_bytes())
        position = int(where * len(content))
        if kind == "flip part":
            content[position] ^= 1 << int(where * 8)
        part.write_bytes(content if kind == "flip part" else content[:position])


async def strike(config: Config, server: FaultServer, blow: Blow) -> None:
    """Run until so many answers have come, then interrupt."""
    goal = len(asked(server)) + blow.answers
    running = asyncio.create_task(run_job(config))
    if blow.how == "let it finish":
        await running
        return
    while not running.done() and len(asked(server)) < goal:  # noqa: ASYNC110 - the server is in another thread
        await asyncio.sleep(0.002)
    running.cancel()
    if blow.how == "cancel twice":
        await asyncio.sleep(0.001)
        running.cancel()
    with suppress(asyncio.CancelledError, PipelineError):
        await running


def survives(folder: Path, blows: list[Blow]) -> None:
    """Run a job through *blows*; nothing is lost, nothing is doubled, no durable answer is asked again."""
    rows = some_rows(ROWS)
    with FaultServer(FaultServerSettings(latency=Uniform(0.0, 0.004)), label_for=right_label) as server:
        job = make_job(folder, server, rows)
        config = job.config()
        cancelled = 0
        for blow in blows:
            asyncio.run(strike(config, server, blow))
            cancelled += blow.how == "cancel twice"
            for kind, where in blow.damages:
                damage(job, folder, kind, where)
        known = durable_answers(folder)
        before = len(asked(server))
        result = asyncio.run(run_job(config))
        labelled = output(job)
        unique = len({row for row in rows if row})
        assert len(asked(server)) - before == unique - known
        repeats = sum(count - 1 for count in server.repeats().values())
        assert repeats <= cancelled * IN_FLIGHT  # an impatient stop gives up what is in flight, nothing else

        fresh = make_job(folder / "fresh", server, rows)
        asyncio.run(run_job(fresh.config()))
    assert labelled["label"].to_list() == [right_label(row) if row else None for row in rows]
    assert labelled.drop(BOOKKEEPING).equals(output(fresh).drop(BOOKKEEPING))
    assert (result.rows, result.failed) == (len(rows) // FILE_ROWS * CHUNK_ROWS, 0)


@pytest.mark.slow
@given(blows=BLOWS)
@settings(max_examples=8, derandomize=True)
def test_whatever_happens_the_output_is_that_of_an_undisturbed_run_and_no_durable_answer_is_asked_again(
    tmp_path_factory: pytest.TempPathFactory, blows: list[Blow]
) -> None:
    survives(tmp_path_factory.mktemp("job"), blows)


@pytest.mark.soak
@given(blows=BLOWS)
@settings(max_examples=100)
def test_whatever_happens_a_hundred_times_it_is_so(
    tmp_path_factory: pytest.TempPathFactory, blows: list[Blow]
) -> None:
    survives(tmp_path_factory.mktemp("job"), blows)


@pytest.mark.soak
def test_killed_at_random_instants_damaged_and_continued_the_result_is_the_same(tmp_path: Path) -> None:
    chance = random.Random(11)
    rows = some_rows(1200)
    kills = 4
    with FaultServer(FaultServerSettings(latency=Uniform(0.0, 0.01)), label_for=right_label) as server:
        job = make_job(tmp_path, server, rows)
        for _ in range(kills):
            seen = server.requests
            process = job.start("--quiet")
            while process.poll() is None and server.requests == seen:
                time.sleep(0.005)
            time.sleep(chance.uniform(0, 0.25))
            process.kill()
            process.communicate()
            for kind in chance.choices(["delete part", "flip part", "cut part", "litter"], k=3):
                damage(job, tmp_path, kind, chance.random())
        known = durable_answers(tmp_path)
        before = len(asked(server))
        done = job.run("--quiet")
        assert done.returncode == 0, done.stderr
        assert len(asked(server)) - before == len({row for row in rows if row}) - known
        repeats = sum(count - 1 for count in server.repeats().values())
        assert repeats <= kills * (IN_FLIGHT + COMMIT)
    assert output(job)["label"].to_list() == [right_label(row) if row else None for row in rows]


async def test_a_run_that_is_killed_keeps_to_its_budget_afterwards(tmp_path: Path) -> None:
    rows = some_rows(600)
    with FaultServer(FaultServerSettings(latency=Uniform(0.0, 0.01)), label_for=right_label) as server:
        job = make_job(tmp_path, server, rows)
        job.set(model={"price": {"input": 1000, "output": 1000}}, limits={"max_cost_usd": 20})
        process = job.start("--quiet")
        while process.poll() is None and len(asked(server)) < 50:  # noqa: ASYNC110 - it is another process
            await asyncio.sleep(0.005)
        process.kill()
        process.communicate()
        with pytest.raises(PipelineError, match=r"limits\.max_cost_usd"):
            await run_job(job.config())
        with open_store(tmp_path / "state") as store:
            assert sum(each.cost_usd or 0.0 for each in store.totals()) <= 20


@pytest.mark.usefixtures("caplog")
async def test_damaged_parts_that_are_found_while_publishing_are_made_again(tmp_path: Path) -> None:
    rows = some_rows(ROWS)
    with FaultServer(label_for=right_label) as server:
        job = make_job(tmp_path, server, rows)
        job.output.parent.mkdir(exist_ok=True)
        running = asyncio.create_task(run_job(job.config()))
        flipped = 0
        while not running.done():
            for part in (tmp_path / "state").glob("runs/*/parts/r*.arrow"):
                if flipped < 3:
                    with suppress(OSError):
                        content = bytearray(part.read_bytes())
                        content[len(content) // 3] ^= 4
                        part.write_bytes(content)
                        flipped += 1
            await asyncio.sleep(0)
        result = await running
        assert server.repeats() == {}
    assert flipped
    assert result.ok == len([row for row in rows if row])
    assert output(job)["label"].to_list() == [right_label(row) if row else None for row in rows]
