"""A slice is taken from a worker that is not heard of any more, but may go on one day: from then on it holds nothing of it."""

import logging
import shutil
import sqlite3
from contextlib import closing

from pipeline.config import Config
from pipeline.config.slices import Slice, slice_folder
from pipeline.job.workspace import LOCK, workspace
from pipeline.ledger import FILE
from pipeline.ledger.swap import COMPANIONS, LOG, companion
from pipeline.system.atomic import replacing

log = logging.getLogger(__name__)


def take_over(config: Config, part: Slice) -> None:
    """Let another worker have the slice *part* of *config*; call it once the one that has had it can send nothing more.

    If that one is still there, stopped or cut off, its lock is removed, by which it knows when it goes on. It may have been
    stopped amid a commit, and holds SQLite's lock of the file until it goes on: the file is replaced by a copy.
    """
    folder = slice_folder(config.state.dir, part)
    place = workspace(folder, config.output.path)
    holder = place.holder()
    if holder is None:  # it has ended, and everything with it
        return
    log.warning("slice %d: is taken from %s", part.index, holder)
    ledger = folder / FILE
    if ledger.exists():
        with replacing(ledger, 0o600) as copy:
            shutil.copyfile(ledger, copy)
            logged, copied = companion(ledger, LOG), companion(copy, LOG)
            if logged.exists():
                shutil.copyfile(logged, copied)
            # What is in the log comes into the copy: should the old log be taken for that of the copy, it adds nothing.
            with closing(sqlite3.connect(copy)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for suffix in COMPANIONS:
            companion(ledger, suffix).unlink(missing_ok=True)
    (place.folder / LOCK).unlink(missing_ok=True)
