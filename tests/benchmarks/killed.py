"""The state that a run of any size leaves when it is killed just before its end, made without asking anybody.

A part for every chunk but the last four, an answer for every row but the last 1,000.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import load_config
from pipeline.inputs.read import read_chunks
from pipeline.job.job import Job
from pipeline.job.prepare import prepare
from pipeline.journey import OPEN_CHUNKS
from pipeline.ledger import open_store
from pipeline.outputs.columns import Answered, part_batch, part_schema
from pipeline.outputs.parts import Parts
from pipeline.records import Answer, Answers, Chunk, Prompt, Span
from pipeline.system.clock import Clock
from pipeline.tasks.parse import Parser

MISSING = 1_000
CHUNK_ROWS = 4_096
"""What `read_chunks` takes for texts as short as these."""

INDEX_ROWS = 500_000
"""Answers that are led to at once while the state is built; a run does so for each chunk, and so do the last ones."""

LAST_CHUNKS = 10

LABELS = ("games", "sound", "graphics", "science", "mail")
SERVER_LOG = "server.jsonl"
KILLED = "killed"


def label_of(text: str) -> str:
    """Return the right label of a row."""
    return LABELS[sum(text.encode()) % len(LABELS)]


def text_of(row: int) -> str:
    """Return the text of a row."""
    return f"row {row} of a table, with some text that is as long as a summary is"


def write_config(folder: Path, base_url: str) -> Path:
    """Write the job's config; it has a price and a budget, so that what was spent must be known."""
    path = folder / "job.yaml"
    price = {"input": 0.1, "output": 0.4}
    settings = {
        "input": {"path": "in.parquet"},
        "task": {"instructions": "Choose.", "text": "{text}", "labels": list(LABELS)},
        "model": {"provider": "openai-compatible", "name": "m", "base_url": base_url, "price": price},
        "limits": {"max_concurrency": 128, "max_cost_usd": 1_000_000},
        "output": {"path": "out.parquet", "report": False},
        "state": {"dir": "state"},
    }
    path.write_text(json.dumps(settings))
    return path


def build(folder: Path, rows: int) -> None:
    """Make the input, and the state that a run killed near its end leaves."""
    job = prepare_job(folder, rows)
    with job.workspace.locked():
        record, _ = job.workspace.begin_or_continue(job.identity, Clock())
        parts = Parts(job.workspace.parts, record.run_id, part_schema(job.config.task.kind))
        Builder(job, record.run_id, parts, rows).work()
    # As a run that is killed: nothing is closed, SQLite's journal stays behind.
    os.kill(os.getpid(), signal.SIGKILL)


def prepare_job(folder: Path, rows: int) -> Job:
    """Make the input, and return the job; nothing is there of its state yet."""
    write_input(folder / "in.parquet", rows)
    return prepare(load_config(write_config(folder, "http://127.0.0.1:9/v1")))


def write_input(path: Path, rows: int) -> None:
    """Write the table."""
    schema = pa.schema([("id", pa.int64()), ("text", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, 100_000):
            numbers = range(start, min(rows, start + 100_000))
            writer.write_batch(pa.record_batch([list(numbers), list(map(text_of, numbers))], schema=schema))


class Builder:
    """Does what a run does, without asking anybody."""

    def __init__(self, job: Job, run_id: str, parts: Parts, rows: int) -> None:
        self._job, self._run_id, self._parts, self._rows = job, run_id, parts, rows
        self._parser = Parser(job.config.task)
        self._store = open_store(job.config.state.dir)

    def work(self) -> None:
        """Answer all rows but the last ones, and write the parts of all chunks but those that were open."""
        open_from = (-(-self._rows // CHUNK_ROWS) - OPEN_CHUNKS) * CHUNK_ROWS
        last = open_from - LAST_CHUNKS * CHUNK_ROWS
        led = 0
        for chunk in read_chunks(self._job.source, self._job.config.task.columns, [Span(0, self._rows)]):
            start = chunk.span.start
            if start - led >= INDEX_ROWS or last <= start <= open_from:
                self._store.index()  # what the open chunks got is not led to
                led = start
            if start == last:  # SQLite's journal is then as large as a run's
                self._store.close()
                self._store = open_store(self._job.config.state.dir)
            self._answer(chunk, with_part=start < open_from)

    def _answer(self, chunk: Chunk, *, with_part: bool) -> None:
        prompts = self._job.task.prompts(chunk.columns)
        known = islice(prompts, max(0, self._rows - MISSING - chunk.span.start))
        answers = [answer_to(prompt, self._run_id) for prompt in known if prompt]
        self._store.append(answers)
        if with_part:
            answered, found = Answered(), Answers.of(answers)
            answered.add_all(found, self._parser.outcomes(found))
            self._parts.write(chunk.span, part_batch(self._job.config.task.kind, prompts, answered))


def answer_to(prompt: Prompt, run_id: str) -> Answer:
    """Return what the simulator would have answered."""
    logprob = -round(int.from_bytes(prompt.key[:4]) / 2**34, 6)  # differs from row to row
    tokens = ('{"', "label", '":"', label_of(prompt.text), '"}')  # as many as the simulator sends
    return Answer(
        key=prompt.key,
        run=run_id,
        text="".join(tokens),
        finish="stop",
        status=None,
        error=None,
        logprobs=json.dumps([[token, logprob] for token in tokens], separators=(",", ":")),
        prompt_tokens=71,
        cached_tokens=0,
        completion_tokens=5,
        cost_usd=9.1e-6,
        model="m",
        request_id=f"chatcmpl-{prompt.key[:4].hex()}",
        attempts=1,
        asks=1,
        at=time.time(),
    )


def build_once(folder: Path, rows: int) -> None:
    """Make the input in *folder*, and the state as `killed`, unless they are there."""
    killed = folder / KILLED
    if killed.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    started = time.monotonic()
    process = multiprocessing.get_context("spawn").Process(target=build, args=(folder, rows))
    process.start()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise SystemExit("the state could not be built")
    (folder / "state").rename(killed)
    sys.stdout.write(f"state of {rows:,} rows built in {time.monotonic() - started:.0f} s\n")


def renew(folder: Path) -> None:
    """Bring *folder* back to where the run was killed; the input stays the very file, for a copy is another input."""
    for name in ("out.parquet", SERVER_LOG):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / "state", ignore_errors=True)
    shutil.copytree(folder / KILLED, folder / "state")
    os.sync()
