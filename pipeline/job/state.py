"""The state directory: whether it can be written, and which runs are working in it."""

import os
from pathlib import Path

from pipeline.errors import CannotCreateError
from pipeline.job.workspace import Workspace


def ensure_state(*folders: Path) -> None:
    """Check that the state directory and folders in it can be written, without creating anything.

    Raises:
        CannotCreateError: If the first that cannot be is one of *folders*, or a ledger in it.
    """
    for folder in folders:
        _ensure_writable(folder)
        ledger = folder / "ledger.sqlite"
        if ledger.exists() and not os.access(ledger, os.R_OK | os.W_OK):
            raise CannotCreateError(f"{ledger}: cannot be written; check its permissions, or who you are")


def _ensure_writable(folder: Path) -> None:
    existing = folder
    while not os.path.lexists(existing):
        existing = existing.parent
    if not existing.is_dir():
        raise CannotCreateError(f"{existing}: is no folder; check state.dir")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise CannotCreateError(f"{existing}: cannot be written; check state.dir")


def running(state: Path) -> list[str]:
    """Return which processes run a job now whose state is in the state directory *state*."""
    places = [Workspace(folder, folder) for folder in state.glob("runs/*") if folder.is_dir()]
    return [holder for place in places if (holder := place.holder()) is not None]
