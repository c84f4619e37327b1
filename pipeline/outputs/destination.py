"""The output's place: whether it is free, ours, or somebody else's, and which run may write there."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import CannotCreateError
from pipeline.system.atomic import make_new, temporary_name
from pipeline.system.lock import Lock

OURS = b"pipeline.run"
"""The metadata key that tells our outputs from other files; its value is the run's id."""


def is_ours(path: Path) -> bool:
    """Whether the output at *path* was written by us: a file, or a folder of such files only."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return all(OURS in _metadata(file) for file in files)


def _metadata(path: Path) -> Mapping[bytes, bytes]:
    try:
        return pq.read_metadata(path).metadata or {}
    except (pa.ArrowException, OSError):
        return {}


def ensure_creatable(path: Path, *, single: bool, overwrite: bool) -> None:
    """Find out before the first request that the output can be written.

    Raises:
        CannotCreateError: If something else is there, or the folder cannot be written.
    """
    try:
        if path.exists():
            _ensure_ours(path, single=single, overwrite=overwrite)
        real = _made_ready(path)
        probe = temporary_name(real)  # publishing sweeps it up, should we be killed right here
        make_new(probe)
        probe.unlink()
    except OSError as error:
        raise _not_writable(path, error) from error


@contextmanager
def reserved(path: Path) -> Iterator[Lock]:
    """Be the only run that writes the output at *path*, whatever its state directory and whatever links lead there.

    The lock is a hidden file beside the output, there as long as the run is at work.

    Raises:
        LockedError: If there is another run; names it and the output.
        CannotCreateError: If the folder cannot be made or written.
    """
    try:
        real = _made_ready(path)
    except OSError as error:
        raise _not_writable(path, error) from error
    # As readable as the output itself: whoever shares the folder shall see who is at work there.
    lock = Lock(real.with_name(f".{real.name}.lock"), real, "output.path", mode=0o666)
    with lock.taken():
        yield lock


def _made_ready(path: Path) -> Path:
    """Make the folder of the output at *path*; returns where links lead to, as that is what is replaced."""
    real = Path(os.path.realpath(path))
    real.parent.mkdir(parents=True, exist_ok=True)
    return real


def _not_writable(path: Path, error: OSError) -> CannotCreateError:
    return CannotCreateError(f"{path.parent}: cannot be written: {error}; check output.path")


def _ensure_ours(path: Path, *, single: bool, overwrite: bool) -> None:
    if single and path.is_dir():
        raise CannotCreateError(f"{path}: is a folder; give output.path a file's name")
    if not single and not path.is_dir():
        raise CannotCreateError(
            f"{path}: is a file; the input is a folder, so give output.path a folder's name"
        )
    if not overwrite and not is_ours(path):
        raise CannotCreateError(f"{path}: is there already and is not ours; move it away or use --overwrite")


def output_name(name: str) -> str:
    """Return the name of the output file for the input file *name*: another ending, nothing else."""
    path = Path(name.removesuffix(".gz"))
    return str(path.with_suffix(".parquet"))
