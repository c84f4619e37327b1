"""The workspace of an output: its folder in the state directory, with its lock and the record of its latest run."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from pipeline import storage
from pipeline.errors import CannotCreateError, DiskError
from pipeline.system.atomic import make_private, write
from pipeline.system.lock import Lock
from pipeline.system.places import Place

if TYPE_CHECKING:  # imports asyncio, for which a finished job must not wait
    from pipeline.system.clock import Clock

REMEMBERED = 4
"""How many earlier outputs are known by their content: runs may be killed between writing one and its appearance."""

LOCK = "lock"
"""The name of the lock in the folder of an output."""

RUNNING, HELD, PUBLISHED = "running", "held", "published"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The record of an output's latest run, which may take several executions.

    Attributes:
        run_id: Its id.
        identity: The identity of its job.
        status: RUNNING until the output is published, then PUBLISHED; HELD while a gate holds it back.
        started_at: Unix time of its first start.
        requests: Requests that its earlier executions sent.
        retries: How many of them were repetitions.
        throttled: How many of them the endpoint refused because of a rate limit.
        seconds: How long its earlier executions took together.
        output: The stamp of the published output, which shows whether it was changed or removed.
        batch: The number of the batch that it was about to append to its table; 0 for none.
        digests: The contents of its last outputs, by which one that cannot say so itself is known as ours.
        summary: Its result, once published.
        job: What other commands than `run` need to know of its job: `Job.about`; empty in older records.
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
    digests: list[str] = field(default_factory=list)
    batch: int = 0
    job: Mapping[str, Any] = field(default_factory=dict)

    def remembering(self, digest: str) -> "RunRecord":
        """Return the record that knows the content of one more output."""
        return replace(self, digests=list(dict.fromkeys([*self.digests[-REMEMBERED:], digest])))

    def after(self, requests: int, retries: int, throttled: int, seconds: float) -> "RunRecord":
        """Return the record with the effort of one more execution added."""
        return replace(
            self,
            requests=self.requests + requests,
            retries=self.retries + retries,
            throttled=self.throttled + throttled,
            seconds=self.seconds + seconds,
        )


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folder of one output in the state directory.

    Attributes:
        folder: Its path.
        output: Path of the output, with links resolved.
    """

    folder: Path
    output: Place

    @property
    def parts(self) -> Path:
        """The folder for the parts of an unfinished run."""
        return self.folder / "parts"

    @property
    def input(self) -> Path:
        """The folder for Parquet copies of input that is not Parquet."""
        return self.folder / "input"

    @property
    def report(self) -> Path:
        """Path of the report of the latest published run."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """Path of the same for people."""
        return self.folder / "report.html"

    @property
    def snapshot(self) -> Path:
        """Path of where the latest run stood a moment ago."""
        return self.folder / "progress.json"

    @property
    def record(self) -> Path:
        """Path of the record of the latest run."""
        return self.folder / "run.json"

    def load(self) -> RunRecord | None:
        """Return the record of the latest run; None if there is none, or it is damaged.

        Raises:
            CannotCreateError: If it is another user's.
        """
        try:
            return RunRecord(**orjson.loads(self.record.read_bytes()))
        except PermissionError as error:
            raise CannotCreateError(
                f"{self.folder}: cannot be read; check its permissions, or who you are"
            ) from error
        except (OSError, ValueError, TypeError):
            return None

    def save(self, record: RunRecord) -> None:
        """Replace the record of the latest run by *record*, atomically.

        Raises:
            DiskError: If it cannot be written.
        """
        try:
            write(self.record, orjson.dumps(record, option=orjson.OPT_INDENT_2))
        except OSError as error:
            raise DiskError(
                f"{self.record}: {error}; make room or repair the disk, then run again"
            ) from error

    def billed(self) -> frozenset[str]:
        """Return the ids of the slices' runs whose efforts and costs an output told that was published here."""
        record = self.load()
        names = record and record.job.get("members" if record.status == PUBLISHED else "billed")
        return frozenset(names or ())

    def begin_or_continue(
        self,
        identity: str,
        clock: "Clock",
        about: Mapping[str, Any] | None = None,
        *,
        anew: bool = False,
        members: Sequence[RunRecord] = (),
    ) -> tuple[RunRecord, bool]:
        """Continue the unfinished run of the job *identity*, unless all is to be done *anew*, or begin a new one.

        *about* is the record's `job`. The efforts of *members*, which ran side by side, count as the new run's.

        Returns:
            The record of that run, and whether it is continued.

        Raises:
            DiskError: If the record cannot be written.
        """
        record = self.load()
        continued = (
            record is not None and not anew and record.status != PUBLISHED and record.identity == identity
        )
        if record is None or not continued:
            digests = record.digests if record else []
            record = RunRecord(new_run_id(clock), identity, RUNNING, clock.wall(), digests=digests)
            for each in members:
                longer = max(0.0, each.seconds - record.seconds)
                record = record.after(each.requests, each.retries, each.throttled, longer)
        record = replace(record, job=about or {}, status=RUNNING)
        self.save(record)
        return record, continued

    def tidy(self) -> None:
        """Remove what killed runs have left behind; call it with the lock held."""
        leftovers = [file for folder in (self.folder, self.parts) for file in folder.glob(".*")]
        if (record := self.load()) is not None and record.status == PUBLISHED:
            leftovers += self.parts.iterdir()  # it was killed between publishing and removing its parts
        for path in leftovers:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def owner(self) -> str:
        """Return the name of this folder, which no other one has; call it with the lock held."""
        path = self.folder / "owner"
        try:
            if not path.exists():
                write(path, os.urandom(16).hex().encode())
            return path.read_text()
        except OSError as error:
            raise DiskError(f"{path}: {error}; make room or repair the disk, then run again") from error

    def holder(self) -> str | None:
        """Return which process holds the lock now, or None."""
        return self._lock().holder()

    @contextmanager
    def locked(self) -> Iterator[Lock]:
        """Keep the state locked while the block runs; yields the lock, which must be checked before each write.

        Raises:
            LockedError: If another process holds it; names that process and the output.
            CannotCreateError: If the folder cannot be created or written.
        """
        try:
            make_private(self.parts)
            if self.parts.is_symlink():  # `tidy` would remove files elsewhere
                raise NotADirectoryError(f"{self.parts} is a link")
        except OSError as error:
            raise CannotCreateError(f"{self.folder}: cannot be written: {error}; check state.dir") from error
        lock = self._lock()
        with lock.held():
            yield lock

    def _lock(self) -> Lock:
        return Lock(self.folder / LOCK, self.output, "state.dir")


def new_run_id(clock: "Clock") -> str:
    """Return a unique id: date, time (UTC), by which ids of different seconds sort, and four random hexadecimal digits."""
    moment = datetime.fromtimestamp(clock.wall(), UTC)
    return f"{moment:%Y%m%d-%H%M%S}-{int(clock.random() * 0x10000):04x}"


def workspace(state: Path, output: Place) -> Workspace:
    """Return the workspace of *output* in the state directory *state*."""
    # Links are resolved, so that two paths to one output share a lock.
    real = storage.resolved(output)
    # The name is for people; the hash tells outputs of one name in several folders apart.
    digest = blake2b(os.fsencode(real), digest_size=4).hexdigest()
    return Workspace(state / "runs" / f"{real.name}-{digest}", real)
