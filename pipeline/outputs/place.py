"""The output's place: whether it is free, ours, or somebody else's."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable import replacing
from pipeline.errors import CannotCreateError

OURS = b"pipeline.run"
"""The metadata key that tells our outputs from other files; its value is the run's id."""


def ours(path: Path) -> bool:
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
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path.with_name(f".{path.name}.probe")) as temporary:
            temporary.touch()
        path.with_name(f".{path.name}.probe").unlink()
    except OSError as error:
        raise CannotCreateError(f"{path.parent}: cannot be written: {error}; check output.path") from error


def _ensure_ours(path: Path, *, single: bool, overwrite: bool) -> None:
    if single and path.is_dir():
        raise CannotCreateError(f"{path}: is a folder; give output.path a file's name")
    if not single and not path.is_dir():
        raise CannotCreateError(
            f"{path}: is a file; the input is a folder, so give output.path a folder's name"
        )
    if not overwrite and not ours(path):
        raise CannotCreateError(f"{path}: is there already and is not ours; move it away or use --overwrite")


def output_name(name: str) -> str:
    """Return the name of the output file for the input file *name*: another ending, nothing else."""
    path = Path(name.removesuffix(".gz"))
    return str(path.with_suffix(".parquet"))
