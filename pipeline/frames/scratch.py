"""The folder of one call of `classify`: its input and output as files, which are gone when it returns."""

import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.config.paths import marked
from pipeline.errors import CannotCreateError
from pipeline.job.workspace import workspace
from pipeline.system.atomic import make_private
from pipeline.system.lock import Lock

FOLDER = "calls"
"""The folder in the state directory with a folder for each call that is at work."""

STALE_SECONDS = 3_600.0
"""How old a folder has to be before it is looked at: a new one may not be locked yet."""


@dataclass(frozen=True, slots=True)
class Scratch:
    """The files of one call.

    Attributes:
        folder: Their folder.
        state: The state directory.
    """

    folder: Path
    state: Path

    @property
    def input(self) -> Path:
        """The rows' texts."""
        return self.folder / "rows.parquet"

    @property
    def output(self) -> Path:
        """The rows' labels."""
        return self.folder / "labels.parquet"

    def remove(self) -> None:
        """Remove the folder, and what a run has noted about its output in the state directory."""
        rehearsed = workspace(self.state / "simulated", marked(self.output, "simulated"))
        for folder in (workspace(self.state, self.output).folder, rehearsed.folder, self.folder):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def scratch(state: Path) -> Iterator[Scratch]:
    """Make the folder of a call in the directory *state*, and remove it at the end; remove those of killed calls, too.

    Raises:
        CannotCreateError: If it cannot be made.
    """
    _remove_stale(state)
    files = Scratch(state / FOLDER / uuid.uuid4().hex, state)
    try:
        make_private(files.folder)
    except OSError as error:
        raise CannotCreateError(f"{files.folder}: cannot be written: {error}; check state_dir") from error
    try:
        with _lock(files).held():
            yield files
    finally:
        files.remove()


def _lock(files: Scratch) -> Lock:
    return Lock(files.folder / "lock", files.output, "state_dir")


def _remove_stale(state: Path) -> None:
    """Remove what calls have left that were killed."""
    try:
        found = [Path(entry.path) for entry in os.scandir(state / FOLDER) if _is_old(entry)]
    except OSError:
        return
    for folder in found:
        if _lock(files := Scratch(folder, state)).holder() is None:
            files.remove()


def _is_old(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat(follow_symlinks=False).st_mtime < time.time() - STALE_SECONDS
    except OSError:
        return False
