"""The state directory of one output: its lock, and the record of its latest run."""

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from pipeline.durable import write
from pipeline.errors import CannotCreateError, LockedError

RUNNING, PUBLISHED = "running", "published"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What is remembered of an output's latest run.

    Attributes:
        run_id: Its id.
        identity: Hash of everything that decides what its output is, the ledger aside.
        status: RUNNING until the output is published, then PUBLISHED.
        started_at: Unix time of its first start.
        requests: Requests sent by its earlier executions.
        retries: Those among them that were repeated.
        seconds: How long its earlier executions took together.
        output: Stamps of the published files, to notice a changed or removed output.
        summary: Its result, once published.
    """

    run_id: str
    identity: str
    status: str
    started_at: float
    requests: int = 0
    retries: int = 0
    seconds: float = 0.0
    output: str = ""
    summary: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one output within the state directory."""

    folder: Path

    @property
    def parts(self) -> Path:
        """The folder of the parts of unfinished runs."""
        return self.folder / "parts"

    @property
    def report(self) -> Path:
        """The report of the latest published run."""
        return self.folder / "report.json"

    def load(self) -> RunRecord | None:
        """Return the record of the latest run; None if there is none that can be read."""
        try:
            return RunRecord(**orjson.loads((self.folder / "run.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, record: RunRecord) -> None:
        """Remember *record*, whole or not at all."""
        write(self.folder / "run.json", orjson.dumps(record, option=orjson.OPT_INDENT_2))

    def holder(self) -> str | None:
        """Return who is writing this output now, or None."""
        try:
            with (self.folder / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return None
        except BlockingIOError:
            return (self.folder / "lock").read_text() or "another run"
        return None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Be the only run that writes this output.

        Raises:
            LockedError: If there is another one; names it.
            CannotCreateError: If the folder cannot be made or written.
        """
        try:
            for folder in (self.folder, self.parts):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise CannotCreateError(f"{self.folder}: cannot be written: {error}; check state.dir") from error
        with os.fdopen(handle, "r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError(
                    f"{self.folder}: in use by {file.read() or 'another run'}; wait for it, or end it"
                ) from None
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}")
            file.flush()
            yield


def workspace(state: Path, output: Path) -> Workspace:
    """Return the workspace of the output at *output* below the state directory."""
    # The name is for people, the hash for outputs of one name in several folders.
    tail = blake2b(os.fsencode(output.absolute()), digest_size=4).hexdigest()
    return Workspace(state / "runs" / f"{output.name}-{tail}")


def stamp(output: Path) -> str:
    """Return a text that changes when the output is changed, replaced or removed."""
    files = sorted(output.rglob("*")) if output.is_dir() else [output]
    found = []
    for file in files:
        try:
            facts = file.stat()
        except OSError:
            return ""
        found.append([str(file), facts.st_size, facts.st_mtime_ns, facts.st_ino])
    return blake2b(orjson.dumps(found), digest_size=16).hexdigest()
