"""A job whose tables are in a bucket."""

import io
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import polars as pl

from tests.jobs import JobFiles, command, environment, right_label
from tests.objectstore.server import Bucket


class StoredJob(JobFiles):
    """A job that reads and writes `in/` and `out/` of a bucket."""

    def __init__(self, folder: Path, base_url: str, bucket: Bucket) -> None:
        super().__init__(folder, base_url)
        self.bucket = bucket
        self.set(output={"path": bucket.url("out/labelled.parquet")})

    def store(self, rows: Sequence[str | None], key: str = "in/rows.parquet") -> None:
        frame = pl.DataFrame({"id": range(len(rows)), "text": rows})
        content = io.BytesIO()
        if key.endswith(".csv"):
            frame.write_csv(content)
        elif key.endswith(".jsonl"):
            frame.write_ndjson(content)
        else:
            frame.write_parquet(content)
        self.bucket.put(key, content.getvalue())
        self.set(input={"path": self.bucket.url(key)})

    def go(self, *arguments: str, verb: str = "run") -> subprocess.CompletedProcess[str]:
        return command(verb, str(self.config_file()), *arguments, env=self.bucket.env)

    def published(self, key: str = "out/labelled.parquet") -> pl.DataFrame:
        return pl.read_parquet(io.BytesIO(self.bucket.get(key)))


class Machine:
    """A machine with a temporary disk of its own, which knows nothing but the config.

    Attributes:
        started: The processes of all machines; those of a test that fails may have been stopped, and go on for ever.
    """

    started: ClassVar[list[subprocess.Popen[str]]] = []

    def __init__(self, job: StoredJob, name: str, env: Mapping[str, str] | None = None) -> None:
        self.job, self.disk = job, job.folder / f"disk-{name}"
        self.disk.mkdir()
        self.env = {**job.bucket.env, **(env or {}), "TMPDIR": str(self.disk)}

    def run(self, verb: str = "run", *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a process of its own, to its end."""
        process = self.start(verb, *arguments)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess([], process.returncode, out, err)

    def start(self, verb: str = "run", *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *_line(verb, str(self.job.config_file()), *arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(self.env),
        )
        self.started.append(process)
        return process


def _line(verb: str, config: str, *arguments: str) -> list[str]:
    """Return a command line; of `ledger`, the first argument is the verb."""
    return (
        ["ledger", arguments[0], config, *arguments[1:]] if verb == "ledger" else [verb, config, *arguments]
    )


def all_right(frame: pl.DataFrame) -> bool:
    """Whether each row with a text has the right label."""
    rows = frame.filter(pl.col("text").fill_null("") != "")
    return rows["label"].to_list() == [right_label(text) for text in rows["text"]]


def end(process: subprocess.Popen[str], how: signal.Signals) -> tuple[int, str]:
    process.send_signal(how)
    _, err = process.communicate(timeout=120)
    return process.returncode, err


def until(condition: Callable[[], bool]) -> None:
    for _ in range(1200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to be")
