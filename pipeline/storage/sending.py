"""Files become objects: all of one appears at an instant; a folder is complete once `_SUCCESS` is there."""

import errno
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.storage.client import (
    PATIENCE_SECONDS,
    STEP_BYTES,
    asking,
    delete,
    is_transient,
    obstore,
    refusal,
    store_of,
    unavailable,
)
from pipeline.system.places import ObjectPath

SUCCESS = "_SUCCESS"
"""The object that says that a folder is complete, as Hadoop and Spark have it."""

MARK = "pipelinesending"
"""The metadata of an object by which we know what we sent; no store minds letters."""

TRIES = 5

AT_ONCE = 4
"""Files of a folder, and pieces of a file, that are sent at once."""


def send(file: Path, place: ObjectPath, *, before: Callable[[], None] = lambda: None) -> None:
    """Make *file* the object at *place*; *before* is called right before the last request, which makes it appear.

    If the reply to that one is lost, what is there then tells whether it was heeded.

    Raises:
        OSError: If it cannot be written.
        DiskError: If the store is unavailable.
    """
    known = obstore("exceptions")
    for attempt in range(1, TRIES + 1):
        mark = secrets.token_hex(16)
        try:
            _send_once(file, place, mark, before)
        except (known.BaseError, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # this machine's
                raise
            # A repeated last request, whose first reply was lost, is refused: it has no such upload any more.
            if _is_there(place, mark):
                return
            if not (is_transient(error) or "NoSuchUpload" in str(error)):
                raise refusal(error, place) from None
            if attempt == TRIES:
                raise unavailable(place, error) from None
        else:
            return


def _send_once(file: Path, place: ObjectPath, mark: str, before: Callable[[], None]) -> None:
    writer = obstore().open_writer(
        store_of(place), place.key, attributes={MARK: mark}, buffer_size=STEP_BYTES, max_concurrency=AT_ONCE
    )
    with file.open("rb") as source:
        while piece := source.read(STEP_BYTES):
            writer.write(piece)
    before()
    writer.close()


def _is_there(place: ObjectPath, mark: str) -> bool:
    def request() -> bool:
        found = obstore().get(store_of(place), place.key, options={"head": True})
        return bool(found.attributes.get(MARK) == mark)

    try:
        return asking(place, request, patience=PATIENCE_SECONDS)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EACCES}:
            return False
        raise


def replace_folder(
    folder: Path,
    place: ObjectPath,
    earlier: set[str],
    *,
    ensure_running: Callable[[], None],
    before: Callable[[], None],
) -> None:
    """Make the files in *folder* the objects below *place*, instead of those with the keys *earlier*.

    Args:
        folder: The files.
        place: What they replace.
        earlier: The keys of the objects that are there.
        ensure_running: Called before each file; raises to stop.
        before: Called right before the folder counts as complete; raises to prevent that.
    """
    success = place / SUCCESS
    delete(place, [success.key])
    files = {
        place / file.relative_to(folder).as_posix(): file
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }

    def send_one(target: ObjectPath) -> None:
        ensure_running()
        send(files[target], target)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="send") as pool:
        for done in [pool.submit(send_one, target) for target in files]:
            done.result()
    before()
    if gone := sorted(earlier - {target.key for target in files}):
        delete(place, gone)
    asking(place, lambda: obstore().put(store_of(place), success.key, b""))
