"""Rebuilding: a new ledger is made from every intact answer in the bytes of a damaged one, which is kept.

Answers that are not found are asked again. An answer that was superseded or pruned may come back if the newer one,
or whatever was written over it, is destroyed: it is a true answer to its key all the same.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from pipeline.errors import CannotCreateError, DiskError
from pipeline.ledger import swap
from pipeline.ledger.repair.carve import FRAME_HEADER_BYTES, LOG_HEADER_BYTES, Found, carve, newest_pages
from pipeline.ledger.schema import (
    ADD_SPENT,
    APPLICATION_ID,
    CELLS,
    INDEX,
    INDEXED,
    INSERT,
    INSERT_WITH_ID,
    create,
)
from pipeline.system.atomic import make_new

MAGIC = b"SQLite format 3\0"
PAGE_BYTES = 4096
"""SQLite's default page size, which every ledger has; assumed if the file's header is destroyed."""

LEAST_PAGE_BYTES = 512
HEADER_BYTES = 100

WINDOW_PAGES = 1024
ROWS = 1000

INSERT_STRAY = INSERT.replace("INTO answers", "INTO temp.stray")
TAKE_STRAYS = f"""
INSERT INTO answers ({CELLS}) SELECT {CELLS} FROM temp.stray s
WHERE NOT EXISTS (SELECT 1 FROM latest l WHERE l.key = s.key)
"""  # noqa: S608 - the statement is constant

log = logging.getLogger(__name__)


def rebuild(path: Path, reason: str) -> None:
    """Replace the ledger at *path* by a new one. The caller holds the exclusive lock of `swap`.

    Raises:
        CannotCreateError: If the file is not a ledger; it is left alone.
        DiskError: If there is no room for a new one; the damaged one stays in its place.
    """
    building = swap.companion(path, ".rebuilding")
    try:
        saved = _build(building, path)
        if not saved and not _is_replaceable(path):
            raise CannotCreateError(
                f"{path}: cannot be opened as a ledger: {reason}, and there is no answer in it; move it away or change state.dir"
            )
        kept = swap.replace(path, building)
    except (sqlite3.Error, OSError) as error:
        raise DiskError(
            f"{path}: must be rebuilt ({reason}) and cannot be: {error}; make room for a second one or repair the disk, then run again"
        ) from error
    finally:
        building.unlink(missing_ok=True)
    log.warning(
        "%s: was rebuilt (%s); %s answers were saved, what is missing is asked again; the old file is kept as %s",
        path, reason, f"{saved:,}", kept,
    )  # fmt: skip


def found_in(path: Path) -> Iterator[Found]:
    """Yield the intact answers in the file at *path* and in its log, some more than once, the oldest first.

    The caller keeps other runs from writing meanwhile.
    """
    with _descriptor(path) as file, _descriptor(swap.companion(path, swap.LOG)) as log_file:
        size = _page_size(os.pread(file, HEADER_BYTES, 0)) or PAGE_BYTES
        written = max(0, os.fstat(log_file).st_size - LOG_HEADER_BYTES)

        def frames(at: int, length: int) -> bytes:
            return os.pread(log_file, length, LOG_HEADER_BYTES + at)

        def page(number: int) -> bytes:
            return os.pread(file, size, (number - 1) * size) if 0 < number < 1 << 32 else b""

        logged = newest_pages(frames, written, size)
        for at in range(0, os.fstat(file).st_size, WINDOW_PAGES * size):
            yield from carve(os.pread(file, WINDOW_PAGES * size, at), size, [page, logged])
        # Every frame of the log, whatever its checksum: an answer has one of its own.
        for at in range(0, written, step := WINDOW_PAGES * (FRAME_HEADER_BYTES + size)):
            yield from carve(frames(at, step), size, [logged, page])


def _build(building: Path, damaged: Path) -> int:
    """Write what is found in *damaged* to a new ledger at *building*; return how many answers."""
    make_new(building)
    with closing(sqlite3.connect(building, isolation_level=None)) as connection:
        execute = connection.execute
        execute("PRAGMA journal_mode = OFF")  # the file is synced as a whole, before it gets its name
        execute("PRAGMA synchronous = OFF")
        execute("BEGIN")
        create(connection)
        execute(f"CREATE TEMP TABLE stray AS SELECT {CELLS} FROM answers")  # noqa: S608
        found = found_in(damaged)
        while some := list(islice(found, ROWS)):
            _insert(connection, some)
        # The strays come last: without an id their age is unknown, so each is used only for a key without an answer.
        for statement in (ADD_SPENT, INDEX, INDEXED, TAKE_STRAYS, ADD_SPENT, INDEX, INDEXED):
            execute(statement)
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        count: int = execute("SELECT count(*) FROM answers").fetchone()[0]
        return count


def _insert(connection: sqlite3.Connection, some: Sequence[Found]) -> None:
    """Insert answers under their own ids; those whose id is lost or taken become strays."""
    rows = [(number, *cells) for number, cells in some if number is not None]
    strays = [cells for number, cells in some if number is None]
    before = connection.total_changes
    connection.executemany(INSERT_WITH_ID, rows)
    if connection.total_changes - before < len(rows):
        strays += [row[1:] for row in rows if not _is_there(connection, row)]
    connection.executemany(INSERT_STRAY, strays)


def _is_there(connection: sqlite3.Connection, row: Sequence[object]) -> bool:
    there = connection.execute("SELECT key, checksum FROM answers WHERE id = ?", row[:1]).fetchone()
    return bool(there == (row[1], row[-1]))


def _page_size(header: bytes) -> int | None:
    """Return the page size that a file's header states; None if it is not a header of SQLite's."""
    size = int.from_bytes(header[16:18])
    size = 1 << 16 if size == 1 else size
    return size if header.startswith(MAGIC) and size >= LEAST_PAGE_BYTES and not size & (size - 1) else None


def _is_replaceable(path: Path) -> bool:
    """Return whether a file without any answer may be replaced: it is empty, or says that it is a ledger."""
    with _descriptor(path) as file:
        header = os.pread(file, HEADER_BYTES, 0)
        if header[68:72] == APPLICATION_ID.to_bytes(4) or (
            len(header) < HEADER_BYTES and MAGIC.startswith(header[:16])
        ):
            return True
        parts = (os.pread(file, 1 << 20, at) for at in range(0, os.fstat(file).st_size, 1 << 20))
        return not any(part.strip(b"\0") for part in parts)


@contextmanager
def _descriptor(path: Path) -> Iterator[int]:
    """Open *path* for reading, or /dev/null if there is no such file."""
    handle = os.open(path if path.exists() else os.devnull, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
