"""A damaged ledger is never the end: what can be found in its bytes goes into a new one.

The old file is moved aside and kept. Answers that are not found are asked again. An answer that was
superseded or pruned may come back where the newer one, or what was written over it, is destroyed: it is a true
answer to its key all the same.
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
"""What SQLite takes unless told otherwise, and nobody tells it: good for a file whose head is destroyed."""

LEAST_PAGE_BYTES = 512
HEAD_BYTES = 100

WINDOW_PAGES = 1024
ROWS = 1000

INSERT_STRAY = INSERT.replace("INTO answers", "INTO temp.stray")
TAKE_STRAYS = f"""
INSERT INTO answers ({CELLS}) SELECT {CELLS} FROM temp.stray s
WHERE NOT EXISTS (SELECT 1 FROM latest l WHERE l.key = s.key)
"""  # noqa: S608 - the statement is constant

log = logging.getLogger(__name__)


def rebuild(path: Path, reason: str) -> None:
    """Put a new ledger with all that can be saved in the place of the one at *path*. Only for who is `alone`.

    Raises:
        CannotCreateError: If the file is not a ledger; it is left alone.
        DiskError: If there is no room for a new one; the damaged one stays in its place.
    """
    building = swap.beside(path, ".rebuilding")
    try:
        saved = _build(building, path)
        if not saved and not _is_ours(path):
            raise CannotCreateError(
                f"{path}: cannot be opened as a ledger: {reason}, and there is no answer in it; move it away or change state.dir"
            )
        aside = swap.replace(path, building)
    except (sqlite3.Error, OSError) as error:
        raise DiskError(
            f"{path}: must be rebuilt ({reason}) and cannot be: {error}; make room for a second one or repair the disk, then run again"
        ) from error
    finally:
        building.unlink(missing_ok=True)
    log.warning(
        "%s: was rebuilt (%s); %s answers were saved, what is missing is asked again; the old file is kept as %s",
        path, reason, f"{saved:,}", aside,
    )  # fmt: skip


def found_in(path: Path) -> Iterator[Found]:
    """Yield the whole answers in the file at *path* and in its log, some more than once, the oldest first.

    The caller keeps everybody else from writing meanwhile.
    """
    with _opened(path) as file, _opened(swap.beside(path, "-wal")) as log_file:
        size = _page_size(os.pread(file, HEAD_BYTES, 0)) or PAGE_BYTES
        written = max(0, os.fstat(log_file).st_size - LOG_HEADER_BYTES)

        def frames(at: int, length: int) -> bytes:
            return os.pread(log_file, length, LOG_HEADER_BYTES + at)

        def page(number: int) -> bytes:
            return os.pread(file, size, (number - 1) * size) if 0 < number < 1 << 32 else b""

        logged = newest_pages(frames, written, size)
        for at in range(0, os.fstat(file).st_size, WINDOW_PAGES * size):
            yield from carve(os.pread(file, WINDOW_PAGES * size, at), size, [page, logged])
        for at in range(0, written, step := WINDOW_PAGES * (FRAME_HEADER_BYTES + size)):
            yield from carve(frames(at, step), size, [logged, page])


def _build(building: Path, damaged: Path) -> int:
    """Write what is found in *damaged* to a new ledger at *building*; return how many answers."""
    make_new(building)
    with closing(sqlite3.connect(building, isolation_level=None)) as connection:
        execute = connection.execute
        execute("PRAGMA journal_mode = OFF")  # it is synced as a whole, before it gets its name
        execute("PRAGMA synchronous = OFF")
        execute("BEGIN")
        create(connection)
        execute(f"CREATE TEMP TABLE stray AS SELECT {CELLS} FROM answers")  # noqa: S608
        found = found_in(damaged)
        while some := list(islice(found, ROWS)):
            _put(connection, some)
        for statement in (ADD_SPENT, INDEX, INDEXED, TAKE_STRAYS, ADD_SPENT, INDEX, INDEXED):
            execute(statement)
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        count: int = execute("SELECT count(*) FROM answers").fetchone()[0]
        return count


def _put(connection: sqlite3.Connection, some: Sequence[Found]) -> None:
    """Insert answers under the ids that they had; those whose id is lost or another's are set aside."""
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


def _page_size(head: bytes) -> int | None:
    """Return the page size that the head of a file tells, if it is one of SQLite's."""
    size = int.from_bytes(head[16:18])
    size = 1 << 16 if size == 1 else size
    return size if head.startswith(MAGIC) and size >= LEAST_PAGE_BYTES and not size & (size - 1) else None


def _is_ours(path: Path) -> bool:
    """Tell whether a file without any answer may be taken for a ledger: there is nothing in it, or our mark."""
    with _opened(path) as file:
        head = os.pread(file, HEAD_BYTES, 0)
        if head[68:72] == APPLICATION_ID.to_bytes(4) or (
            len(head) < HEAD_BYTES and MAGIC.startswith(head[:16])
        ):
            return True
        parts = (os.pread(file, 1 << 20, at) for at in range(0, os.fstat(file).st_size, 1 << 20))
        return not any(part.strip(b"\0") for part in parts)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open *path*, or nothing if there is no such file."""
    handle = os.open(path if path.exists() else os.devnull, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)
