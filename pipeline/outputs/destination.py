"""The destination of the output: whether it may be replaced, and which run may write there."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b, file_digest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.errors import CannotCreateError
from pipeline.system.places import Place

RUN_METADATA_KEY = b"pipeline.run"
"""The metadata key that distinguishes our outputs from other files; its value is the run's id."""


def is_ours(path: Place, digests: Collection[str] = ()) -> bool:
    """Return whether *path* is a file that we wrote, or a folder that holds only such files.

    Parquet files say so themselves; others are known by their *digests*, which a change would change.
    """
    is_named = all(RUN_METADATA_KEY in _metadata(file) for file in storage.files_below(path))
    return is_named or (bool(digests) and digest_of(path) in digests)


def digest_of(path: Place) -> str:
    """Return a hash of the content of a file, or of the names and contents of the files in a folder."""
    whole = blake2b(digest_size=16)
    for file in storage.files_below(path):
        with storage.open_file(file) as content:
            found = file_digest(content, lambda: blake2b(digest_size=16)).hexdigest()
        whole.update(f"{file.relative_to(path)}\0{found}\0".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _metadata(path: Place) -> Mapping[bytes, bytes]:
    try:
        with storage.open_arrow(path) as file:
            return pq.read_metadata(file).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


def ensure_creatable(path: Place, digests: Collection[str] = (), *, single: bool, overwrite: bool) -> None:
    """Ensure, before the first request is sent, that the output can be written; *digests* are those of earlier ones.

    Raises:
        CannotCreateError: If something else exists at *path*, or its folder cannot be written.
    """
    try:
        if storage.exists(path):
            _ensure_replaceable(path, digests, single=single, overwrite=overwrite)
        storage.ensure_writable(storage.target(path))
    except OSError as error:
        raise _not_writable(path, error) from error


@contextmanager
def reserved(path: Place, owner: Callable[[], str] = str) -> Iterator[storage.Held]:
    """Reserve the output at *path* for this run, whatever its state directory and whatever links lead there.

    The lock is hidden beside the output and exists while the block runs. *owner* returns the name of the state directory, which the caller has
    locked.

    Raises:
        LockedError: If another run holds it; the message names that run and the output.
        CannotCreateError: If the folder cannot be created or written.
    """
    try:
        real = storage.target(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    lock = storage.lock(real, "output.path", owner)
    with lock.held():
        yield lock


def _not_writable(path: Place, error: OSError) -> CannotCreateError:
    return CannotCreateError(f"{path.parent}: cannot be written: {error}; check output.path")


def _ensure_replaceable(path: Place, digests: Collection[str], *, single: bool, overwrite: bool) -> None:
    if storage.is_delta_table(path):
        raise CannotCreateError(
            f"{path}: is a Delta table, which is never replaced; set output.format to delta to append to it, or give "
            "output.path another name"
        )
    if single and storage.is_folder(path):
        raise CannotCreateError(f"{path}: is a folder; give output.path a file's name")
    if not single and not storage.is_folder(path):
        raise CannotCreateError(
            f"{path}: is a file; the input is a folder, so give output.path a folder's name"
        )
    if not overwrite and not is_ours(path, digests):
        what = (
            "is there already and is not ours, or was changed since"
            if digests
            else "is there already and is not ours"
        )
        raise CannotCreateError(f"{path}: {what}; move it away or use --overwrite")


def output_name(name: str, form: str) -> str:
    """Return the name of the output file for the input file *name*: the same but for its suffix, that of *form*."""
    path = Path(name.removesuffix(".gz").removesuffix(".zst").removesuffix(".bz2"))
    return str(path.with_suffix(f".{form}"))
