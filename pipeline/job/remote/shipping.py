"""Ship what a run has paid for: the new answers of every few seconds, and the files that have changed."""

import logging
import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

from pipeline import storage
from pipeline.errors import DiskError, LockedError, PipelineError
from pipeline.job.remote.copied import Copied
from pipeline.job.remote.files import ship_files
from pipeline.job.remote.segments import new_answers, segment_folder, snapshot_folder, take_snapshot
from pipeline.storage import conditional
from pipeline.storage.lease import Lease
from pipeline.system.places import ObjectPath

log = logging.getLogger(__name__)

SHIP_SECONDS = 4.0
"""How often: with the time that shipping takes, at most 5 s of answers are lost with the machine."""

MOST_SEGMENTS = 500
"""So many are replaced by a snapshot: each takes a request when the state is brought to an empty machine."""

MOST_BYTES = 64 << 20
"""The same for their bytes."""

FAILURES = OSError, PipelineError, sqlite3.Error
"""Of the store, and of the disk with the copy."""


class Shipping:
    """Ships the copy in *folder*, from a thread of its own, to the *store*."""

    def __init__(self, store: ObjectPath, folder: Path, copied: Copied, lease: Lease) -> None:
        self._store, self._folder, self._copied, self._lease = store, folder, copied, lease
        self._number, self._bytes = 0, 0
        self._most_segments = MOST_SEGMENTS
        self._pending: tuple[int, str, bytes] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="shipping", daemon=True)

    def start(self) -> None:
        """Begin to ship every few seconds."""
        self._thread.start()

    def close(self, *, finished: bool) -> None:
        """Ship what is left. Answers are shipped even if another has taken over: they are paid for.

        *finished* says that the work was done: then the files that tell so have to arrive, too.

        Raises:
            DiskError: If that fails; what was not shipped stays on this machine.
            LockedError: If another has taken over before the files could be shipped.
        """
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        try:
            self._ship_answers()
            if finished:
                self._lease.ensure_held()
            self._ship()
        except LockedError:
            raise
        except FAILURES as error:
            raise DiskError(
                f"{self._store}: not all answers could be shipped ({error}); they are in {self._folder}, "
                "and the next run on this machine ships them"
            ) from error
        finally:
            self._copied.save(self._folder)

    def _repeat(self) -> None:
        while not self._stopping.wait(SHIP_SECONDS):
            try:
                self._ship()
                self._copied.save(self._folder)
            except FAILURES as error:
                # Nothing is sent once the lease is stale, and the end of the run says what could not be shipped.
                log.debug("%s: answers will be shipped later: %s", self._store, error)

    def ship_leftovers(self) -> None:
        """Ship the answers that a run which was killed on this machine has left behind."""
        self._ship_answers()

    def _ship(self) -> None:
        self._ship_answers()
        if self._lease.is_fresh:
            ship_files(self._folder, self._store, self._copied)
            try:
                self._compact()
            except (
                sqlite3.Error
            ) as error:  # of a disk without room for a second copy; the segments do as well
                log.warning("%s: its answers stay in many small objects: %s", self._store, error)
                self._most_segments, self._bytes = self._most_segments + MOST_SEGMENTS, 0

    def _ship_answers(self) -> None:
        while True:
            if self._pending is None:
                found = new_answers(self._folder, self._copied.shipped)
                if found is None:
                    return
                self._number += 1
                self._pending = (found[0], self._name(self._number), found[1])
            last, name, content = self._pending
            try:
                conditional.put(segment_folder(self._store) / name, content, None)
            except (
                conditional.Taken
            ):  # somebody has removed lease.json, and with it the epoch that had this name
                self._pending, self._number = (last, self._name(self._number + 1), content), self._number + 1
                continue
            self._pending = None
            self._copied.shipped = last
            self._copied.segments.append(name)
            self._bytes += len(content)

    def _name(self, number: int) -> str:
        return f"{self._lease.epoch:08d}-{number:08d}.arrow"

    def _compact(self) -> None:
        """Replace the segments by a snapshot, if there are many."""
        if len(self._copied.segments) <= self._most_segments and self._bytes <= MOST_BYTES:
            return
        covered, held = list(self._copied.segments), self._lease.ensure_held
        place = snapshot_folder(self._store) / f"{self._lease.epoch:08d}-{self._number:08d}.sqlite.zst"
        earlier = storage.files_below(snapshot_folder(self._store))
        take_snapshot(self._folder, place, covered, held)
        held()
        self._copied.snapshot = place.name
        self._copied.segments, self._bytes = [], 0
        for each in [*(segment_folder(self._store) / name for name in covered), *earlier]:
            with suppress(OSError):
                storage.remove(each)
