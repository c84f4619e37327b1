"""SIGKILL at every step of a batch: no row is lost, and no answer is paid twice."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.batching import Quick, batch_job, bills, labels, peer, under_way
from tests.jobs import JobFiles, environment, run_job, texts

pytestmark = pytest.mark.slow  # each starts a process

ROWS = 40

DIES = """
import asyncio, inspect, os, signal, sys, time
from importlib import import_module

module, name, when, number, config = sys.argv[1:]
owner = import_module(module)
*path, method = name.split(".")
for part in path:
    owner = getattr(owner, part)
inner, left = getattr(owner, method), [int(number)]


def die():
    left[0] -= 1
    if not left[0]:
        time.sleep(0.2 if when == "later" else 0)
        os.kill(os.getpid(), signal.SIGKILL)


async def dying(*args, **kwargs):
    if when == "before":
        die()
    found = await inner(*args, **kwargs)
    if when == "later":
        left[0] -= 1
        if not left[0]:
            await asyncio.sleep(0.3)  # in which what was taken becomes durable
            os.kill(os.getpid(), signal.SIGKILL)
    elif when == "after":
        die()
    return found


def dying_at_once(*args, **kwargs):
    if when == "before":
        die()
    found = inner(*args, **kwargs)
    if when == "after":
        die()
    return found


setattr(owner, method, dying if inspect.iscoroutinefunction(inner) else dying_at_once)
import_module("pipeline.llm.batch.lines").LineReader.GROUP = 10
from pipeline.cli.app import main
sys.exit(main(["run", config, "--no-wait"]))
"""

BOOK, API = "pipeline.llm.batch.book", "pipeline.llm.batch.api"
COLLECTING, SHELF = "pipeline.engine.batches.collecting", "pipeline.engine.batches.shelf"

STEPS = [
    ("the intent is written", BOOK, "Book.add", "after", 1),
    ("the file is uploaded", API, "BatchApi.upload", "after", 1),
    ("the file's id is written", BOOK, "Book.update", "after", 1),
    ("its making is about to be asked for", BOOK, "Book.update", "after", 2),
    ("the batch is made and nobody knows its id", API, "BatchApi.create", "after", 1),
    ("its id is written", BOOK, "Book.update", "after", 3),
    ("it has ended", API, "BatchApi.get", "after", 1),
    ("some answers are taken in", COLLECTING, "Collector._take", "later", 2),
    ("all answers are taken in", COLLECTING, "Collector.collect", "after", 1),
    ("it is struck out", BOOK, "Book.strike", "after", 1),
    ("its files are removed", API, "BatchApi.delete", "after", 1),
]


def killed(job: JobFiles, module: str, name: str, when: str, number: int) -> bool:
    """Run the job in a process that dies at a step, and return whether it came to that."""
    words = [sys.executable, "-c", DIES, module, name, when, str(number), str(job.config_file())]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment(), check=False)
    assert ran.returncode in {-signal.SIGKILL, 0, 75}, ran.stderr
    return ran.returncode == -signal.SIGKILL


@pytest.mark.parametrize(("step", "module", "name", "when", "number"), STEPS, ids=[each[0] for each in STEPS])
async def test_a_run_killed_at_any_step_of_a_batch_pays_nothing_twice(
    tmp_path: Path, step: str, module: str, name: str, when: str, number: int
) -> None:
    with peer() as provider:
        job = batch_job(tmp_path, provider.base_url, texts(ROWS))
        # The first process hands in, the second takes in; each dies at the step if it gets there.
        died = [killed(job, module, name, when, number) for _ in range(2)]
        assert any(died), step
        result = await run_job(job.config(), clock=Quick().clock)
        assert (result.ok, provider.billed, provider.paid_twice) == (ROWS, ROWS, 0)
        assert provider.made == 1
        assert bills(job)["prompt_tokens"] == provider.server.log.prompt_tokens
        assert len(set(filter(None, labels(job)))) > 1
        assert under_way(job) == []
        if module == API and name == "BatchApi.delete":
            assert provider.files <= 2
