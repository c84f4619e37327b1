"""The state directory of one output: its lock, and the record of its latest run."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline.errors import CannotCreateError, DiskError
from pipeline.system.atomic import make_private, write
from pipeline.system.lock import Lock

if TYPE_CHECKING:  # a clock that sleeps brings asyncio, for which a finished job must not wait
    from pipeline.system.clock import Clock

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
        throttled: Those among them that the endpoint refused because of a rate limit.
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
    throttled: int = 0
    seconds: float = 0.0
    output: str = ""
    summary: Mapping[str, Any] | None = None

    def after(self, requests: int, retries: int, throttled: int, seconds: float) -> "RunRecord":
        """Return the record with what one more execution has done added."""
        return replace(
            self,
            requests=self.requests + requests,
            retries=self.retries + retries,
            throttled=self.throttled + throttled,
            seconds=self.seconds + seconds,
        )


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one output within the state directory.

    Attributes:
        folder: Where it is.
        output: The output, links followed.
    """

    folder: Path
    output: Path

    @property
    def parts(self) -> Path:
        """The folder of the parts of unfinished runs."""
        return self.folder / "parts"

    @property
    def report(self) -> Path:
        """The report of the latest published run."""
        return self.folder / "report.json"

    def load(self) -> RunRecord | None:
        """Return the record of the latest run; None if there is none, or it is damaged.

        Raises:
            CannotCreateError: If it is somebody else's.
        """
        try:
            return RunRecord(**orjson.loads((self.folder / "run.json").read_bytes()))
        except PermissionError as error:
            raise CannotCreateError(
                f"{self.folder}: cannot be read; check its permissions, or who you are"
            ) from error
        except (OSError, ValueError, TypeError):
            return None

    def save(self, record: RunRecord) -> None:
        """Remember *record*, whole or not at all.

        Raises:
            DiskError: If it cannot be written.
        """
        path = self.folder / "run.json"
        try:
            write(path, orjson.dumps(record, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise DiskError(f"{path}: {error}; make room or repair the disk, then run again") from error

    def begin_or_continue(self, identity: str, clock: "Clock") -> tuple[RunRecord, bool]:
        """Return the record of the unfinished run of the job *identity*, or of a new one; and whether it is continued.

        Raises:
            DiskError: If it cannot be remembered.
        """
        record = self.load()
        continued = record is not None and (record.status, record.identity) == (RUNNING, identity)
        if record is None or not continued:
            record = RunRecord(new_run_id(clock), identity, RUNNING, clock.wall())
        self.save(record)
        return record, continued

    def tidy(self) -> None:
        """Remove what killed runs have left; only whoever holds the lock may do that."""
        left = [file for folder in (self.folder, self.parts) for file in folder.glob(".*")]
        if (record := self.load()) is not None and record.status == PUBLISHED:
            left += self.parts.iterdir()
        for path in left:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def holder(self) -> str | None:
        """Return which run has this state now, or None."""
        return self._lock().holder()

    @contextmanager
    def locked(self) -> Iterator[Lock]:
        """Be the only run that has this state; gives the lock, to look at before anything is written here.

        Raises:
            LockedError: If there is another one; names it and the output.
            CannotCreateError: If the folder cannot be made or written.
        """
        try:
            make_private(self.parts)
            if self.parts.is_symlink():  # what is not ours is removed in there
                raise NotADirectoryError(f"{self.parts} is a link")
        except OSError as error:
            raise CannotCreateError(f"{self.folder}: cannot be written: {error}; check state.dir") from error
        lock = self._lock()
        with lock.taken():
            yield lock

    def _lock(self) -> Lock:
        return Lock(self.folder / "lock", self.output, "state.dir")


def ensure_state(folder: Path) -> None:
    """Find out without making anything that the state directory *folder* can be written.

    Raises:
        CannotCreateError: If it cannot be.
    """
    there = folder
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise CannotCreateError(f"{there}: is no folder; check state.dir")
    if not os.access(there, os.W_OK | os.X_OK):
        raise CannotCreateError(f"{there}: cannot be written; check state.dir")


def new_run_id(clock: "Clock") -> str:
    """Return an id that sorts by time and is unique: date, time (UTC) and four random hexadecimal digits."""
    moment = datetime.fromtimestamp(clock.wall(), UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{int(clock.random() * 0x10000):04x}"


def workspace(state: Path, output: Path) -> Workspace:
    """Return the workspace of the output at *output* below the state directory."""
    # The name is for people, the hash for outputs of one name in several folders. Links are followed, so that two
    # ways to one output have one lock.
    real = Path(os.path.realpath(output))
    tail = blake2b(os.fsencode(real), digest_size=4).hexdigest()
    return Workspace(state / "runs" / f"{real.name}-{tail}", real)


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
