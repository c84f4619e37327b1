"""A job on disk, the right labels, and the command line: what many tests need."""

import gzip
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.cli import app
from pipeline.config import Config, load_config
from pipeline.inputs.read import CHUNK_ROWS
from pipeline.job.options import RunOptions
from pipeline.job.prepare import started
from pipeline.journey import run_started
from pipeline.system.clock import Clock
from pipeline.telemetry.logs import LIBRARIES, OWN_LOGGER
from pipeline.telemetry.progress import Watcher
from pipeline.telemetry.summary import RunResult
from tests.faultserver.server import FaultServer

LABELS = ("games", "sound", "graphics", "science", "mail")


def right_label(text: str) -> str:
    """The label that a row with *text* ought to get."""
    return LABELS[sum(text.encode()) % len(LABELS)]


def texts(count: int, start: int = 0) -> list[str]:
    """Different texts with quotes, newlines and other scripts in them."""
    return [f'row {n} says "hé\nllo, 世界" {n * 7919}' for n in range(start, start + count)]


def some_rows(count: int) -> list[str | None]:
    """Different rows, some twice, some without text."""
    rows: list[str | None] = [*texts(count)]
    for number in range(0, count, 7):
        rows[number] = rows[number // 2]
    rows[5] = None
    rows[count // 2] = ""
    return rows


class JobFiles:
    """A job in a folder of its own: a table, a config, and what came out."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = {
            "input": {"path": "in.parquet"},
            "task": {
                "kind": "single",
                "instructions": "Choose the label.",
                "text": "{text}",
                "labels": [{"name": name, "description": f"about {name}"} for name in LABELS],
            },
            "model": {"provider": "openai-compatible", "name": "test-model", "base_url": base_url},
            "output": {"path": "out/labelled.parquet", "report": False},
            "state": {"dir": "state"},
        }

    @property
    def output(self) -> Path:
        return self.folder / self.settings["output"]["path"]

    def table(self, rows: Sequence[str | None] | pl.DataFrame, name: str = "in.parquet") -> None:
        frame = (
            rows if isinstance(rows, pl.DataFrame) else pl.DataFrame({"id": range(len(rows)), "text": rows})
        )
        path = self.folder / name
        if name.endswith(".gz"):
            path.write_bytes(gzip.compress(frame.write_csv().encode()))
        elif name.endswith(".csv"):
            frame.write_csv(path)
        else:
            frame.write_parquet(path)
        self.settings["input"]["path"] = name

    def set(self, **sections: Mapping[str, Any]) -> "JobFiles":
        for section, values in sections.items():
            self.settings.setdefault(section, {}).update(values)
        return self

    def config_file(self, name: str = "job.yaml") -> Path:
        path = self.folder / name
        whole = self.folder / f".{name}.whole"  # a run that has just been started may be reading the file
        whole.write_text(json.dumps(self.settings))  # JSON is YAML
        return whole.replace(path)

    def config(self) -> Config:
        return load_config(self.config_file())

    def labelled(self) -> pl.DataFrame:
        return pl.read_parquet(self.output)

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run `pipeline run` in this process."""
        return command("run", str(self.config_file()), *arguments, env=env)

    def spawn(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m pipeline run` in a process of its own, to its end."""
        return spawn("run", str(self.config_file()), *arguments, env=env)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `python -m pipeline run` and do not wait for it."""
        return subprocess.Popen(
            [sys.executable, "-m", "pipeline", "run", str(self.config_file()), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )


def chunk_of(rows: Sequence[str | None]) -> list[str | None]:
    """Return *rows* and after them rows without text, as many as make up a chunk: nothing is asked for those."""
    return [*rows, *[None] * (CHUNK_ROWS - len(rows))]


async def run_job(
    config: Config,
    options: RunOptions = RunOptions(),  # noqa: B008 - frozen
    *,
    watch: Watcher | None = None,
    clock: Clock | None = None,
) -> RunResult:
    """Label the table that *config* describes, on the running event loop; otherwise like `pipeline.run`."""
    with started(config, options) as start:
        return start.result or await run_started(start, watch=watch, clock=clock)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    root = Path(__file__).parent.parent
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), **(extra or {})}


def command(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command line in this process, in an almost empty environment.

    Ten times quicker than a process of its own, for what a command prints and how it ends.
    """
    out, err = io.StringIO(), io.StringIO()
    with _only(environment(env)), _loggers_restored(), redirect_stdout(out), redirect_stderr(err):
        status = app.main(arguments)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


@contextmanager
def _only(variables: Mapping[str, str]) -> Iterator[None]:
    """Have *variables* be the whole environment while the block runs."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def _loggers_restored() -> Iterator[None]:
    """Undo what a command sets up for its log lines: its handlers write to a stream that is gone afterwards."""
    loggers = [logging.getLogger(name) for name in (OWN_LOGGER, *LIBRARIES)]
    before = [(each.handlers, each.level, each.propagate) for each in loggers]
    try:
        yield
    finally:
        for each, (handlers, level, propagate) in zip(loggers, before, strict=True):
            each.handlers, each.propagate = handlers, propagate
            each.setLevel(level)


def spawn(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline` in a process of its own, in an almost empty environment."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(env),
        check=False,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON object that a command ends its stdout with."""
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def asked(server: FaultServer) -> list[str]:
    """The texts that the model was asked about, in order; the question for the model object is none of them."""
    return [entry.text for entry in server.entries if entry.text]
