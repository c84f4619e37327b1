"""What a job left behind, read without the code that wrote it."""

import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from pipeline.records import Answer, Prompts, Status
from pipeline.tasks.prompt import Task
from tests.jobs import JobFiles

ANSWER = ", ".join(Answer._fields)
NEW_COLUMNS = (
    "label", "labels", "label_status", "label_source", "label_confidence", "label_error", "label_truncated",
    "label_model", "label_run", "prompt_tokens", "cached_tokens", "completion_tokens", "cost_usd",
)  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """The answers of a ledger at one instant.

    Attributes:
        by_id: Row id to answer: all that were ever appended.
        newest: Key to its newest answer.
    """

    by_id: dict[int, Answer]
    newest: dict[bytes, Answer]


def read_ledger(state: Path) -> Stored:
    """Read the ledger in *state* from a copy: opening the file itself would tidy up what a crash has left."""
    by_id: dict[int, Answer] = {}
    if not (state / "ledger.sqlite").exists():
        return Stored({}, {})
    with tempfile.TemporaryDirectory() as folder:
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            if (state / name).exists():
                shutil.copy(state / name, folder)
        connection = sqlite3.connect(Path(folder) / "ledger.sqlite")
        try:
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
                for row in connection.execute(f"SELECT id, {ANSWER} FROM readable_answers ORDER BY id"):
                    by_id[row[0]] = _answer(row[1:])
        finally:
            connection.close()
    return Stored(by_id, {answer.key: answer for answer in by_id.values()})


def _answer(cells: Sequence[object]) -> Answer:
    named = dict(zip(ANSWER.split(", "), cells, strict=True))
    named["status"] = Status(str(named["status"])) if named["status"] else None
    return Answer(**named)  # type: ignore[arg-type]


def read_table(path: Path) -> pl.DataFrame:
    """Read a file or a folder of files, in the order of their names."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        return pl.concat([read_table(file) for file in files])
    if path.suffix == ".parquet":
        return pl.read_parquet(path)
    return pl.read_csv(path, infer_schema=False)


def input_of(job: JobFiles) -> pl.DataFrame:
    """Read the job's input."""
    return read_table(job.folder / job.settings["input"]["path"])


def input_stamp(job: JobFiles) -> object:
    """Return what changes when the job's input is written anew."""
    path = job.folder / job.settings["input"]["path"]
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return [(file, file.stat().st_ino, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def prompts_of(job: JobFiles, rows: pl.DataFrame) -> Prompts:
    """Render the job's prompts, one for each of *rows*."""
    config = job.config()
    columns = {name: rows[name].cast(pl.String).to_list() for name in config.task.columns}
    return Task.from_config(config).prompts(columns)


def litter(job: JobFiles) -> Iterator[str]:
    """Yield what should not be there after a run that ended well."""
    state = job.folder / job.settings["state"]["dir"]
    for folder in {job.output.parent, state}:
        for file in folder.rglob("*"):
            if file.name.endswith((".tmp", ".old")) or file.name.startswith((".keys-", ".tmp")):
                yield f"{file} was left behind"
    for part in state.glob("runs/*/parts/*"):
        yield f"{part} was left behind"
    for path in [state, *state.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        if mode & 0o077:
            yield f"{path} has mode {mode:o}: others may read it"


def files_with(secret: str, *folders: Path) -> list[Path]:
    """Return the files below *folders* in whose bytes or name *secret* stands."""
    needle = secret.encode()
    found = [path for folder in folders for path in folder.rglob("*")]
    return [
        path
        for path in found
        if needle in os.fsencode(path) or (path.is_file() and needle in path.read_bytes())
    ]
