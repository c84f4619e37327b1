"""Find the input files and check that their contents match their names."""

import glob
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputDataError, NoInputError

# A new format needs a line here and one in `formats.FORMATS`.
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".tsv": "csv", ".csv.gz": "csv", ".tsv.gz": "csv"}

# First bytes of files that are often mistaken for input, with their common names.
_MAGIC = {
    b"PAR1": "Parquet",
    b"PARE": "encrypted Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"SQLite format 3": "an SQLite database",
    b"ARROW1": "an Arrow file",
}
_LONGEST_MAGIC = max(map(len, _MAGIC))


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes:
        path: Its location.
        name: Its path relative to the given folder, with `/`; for a single file its file name.
        format: `parquet` or `csv`.
    """

    path: Path
    name: str
    format: str


def discover(path: str) -> tuple[list[Found], bool]:
    """Find the files that *path* (a file, a folder or a glob) stands for, sorted by name; and whether it is one file.

    A folder stands for the files directly inside it that have a known suffix. Files whose names begin with `.` or `_`
    are left out.

    Raises:
        NoInputError: If there is nothing to read.
        InputDataError: If a suffix is unknown, or formats are mixed.
    """
    try:
        return _discover(path)
    except PermissionError as error:
        raise NoInputError(f"{error.filename or path}: cannot be read; check its permissions") from error


def _discover(path: str) -> tuple[list[Found], bool]:
    here = Path(path)
    if here.is_dir():
        found = _with_known_suffix(here, here.iterdir())
    elif here.exists():
        if (kind := _format(here)) is None:
            raise InputDataError(f"{path}: has no suffix that is known; name it {', '.join(_SUFFIXES)}")
        return [Found(here, here.name, kind)], True
    elif glob.has_magic(path):
        found = _with_known_suffix(_fixed_part(here), map(Path, glob.iglob(path, recursive=True)))  # noqa: PTH207 - may be absolute
    else:
        raise NoInputError(f"{path}: {_absent(path)}")
    if not found:
        raise NoInputError(f"{path}: holds no {', '.join(_SUFFIXES)} file; check input.path")
    _refuse_mixture(path, found)
    return found, False


def refuse_impostor(found: Found) -> None:
    """Ensure that a file can be opened and that its first bytes match its name.

    Raises:
        NoInputError: If it cannot be opened.
        InputDataError: If it is empty or of another kind; the message names that kind.
    """
    try:
        if not found.path.is_file():
            raise NoInputError(f"{found.path}: is no regular file; give a file, a folder or a glob")
        with found.path.open("rb") as file:
            head = file.read(_LONGEST_MAGIC)
    except OSError as error:
        raise NoInputError(
            f"{found.path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if not head:
        raise InputDataError(f"{found.path}: is empty (0 bytes); not even a header is in it, write it again")
    expected = _expected(found)
    if (real := _recognize(head)) != expected:
        raise InputDataError(
            f"{found.path}: is {real}, not {expected} as its name says; {_REMEDIES.get(real, _CONVERT)}"
        )


_CONVERT = "convert it to Parquet or CSV"
_REMEDIES = {
    "text": "name it .csv or .tsv if it is a table",
    "gzip": "name it .csv.gz if it is a packed CSV, else unpack it",
    "Parquet": "name it .parquet",
    "encrypted Parquet": "decrypt it first",
}


def _format(path: Path) -> str | None:
    name = path.name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)


def _with_known_suffix(root: Path, paths: Iterator[Path]) -> list[Found]:
    return sorted(
        (
            Found(path, path.relative_to(root).as_posix(), kind)
            for path in paths
            if (kind := _format(path)) and not path.name.startswith((".", "_")) and not path.is_dir()
        ),
        key=lambda found: found.name,
    )


def _fixed_part(pattern: Path) -> Path:
    """Return the folder that all matches of a glob have in common."""
    while glob.has_magic(str(pattern)):
        pattern = pattern.parent
    return pattern


def _absent(path: str) -> str:
    return (
        "URLs cannot be read; give a local file"
        if "://" in path
        else "there is no such file; check input.path"
    )


def _refuse_mixture(path: str, found: list[Found]) -> None:
    formats = {item.format: item.name for item in found}
    if len(formats) > 1:
        examples = ", ".join(f"{name} ({kind})" for kind, name in sorted(formats.items()))
        raise InputDataError(f"{path}: mixes formats: {examples}; give one format, for instance by a glob")


def _expected(found: Found) -> str:
    if found.format == "parquet":
        return "Parquet"
    return "gzip" if found.name.lower().endswith(".gz") else "text"


def _recognize(head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "text")
