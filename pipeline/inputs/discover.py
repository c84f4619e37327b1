"""Find the input files and check that their contents match their names."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass

from pipeline import storage
from pipeline.errors import ConfigError, InputDataError, NoInputError
from pipeline.inputs.folders import is_hidden, refuse_managed, table_files
from pipeline.inputs.intake.compression import CODECS
from pipeline.inputs.source import LiveFile
from pipeline.system.places import Place, Unreachable, place_of

# A new format needs a line here and one in `intake.copies.FORMATS`.
_KINDS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".arrow": "arrow",
    ".feather": "arrow",
}
_SUFFIXES = {**_KINDS, **{a + b: kind for a, kind in _KINDS.items() if kind != "parquet" for b in CODECS}}
_KNOWN = f"{', '.join(_KINDS)} (all but the first also with {', '.join(CODECS)})"

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
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"FEA1": "Feather of version 1",
}
_LONGEST_MAGIC = max(map(len, _MAGIC))


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read.

    Attributes:
        path: Its location.
        name: Its path relative to the given folder, with `/`; for a single file its file name.
        format: `parquet`, `csv`, `json`, `arrow` or `delta`.
        live: What the log of its Delta table says about it.
    """

    path: Place
    name: str
    format: str
    live: LiveFile | None = None


def discover(path: str, version: int | None = None) -> tuple[list[Found], bool]:
    """Find the files that *path* (a file, a folder or a glob) stands for, sorted by name; and whether it is one file.

    A folder stands for the files inside it and inside its Hive folders (`year=2024`) that have a known suffix, or none
    and the first bytes of Parquet, as Hive leaves them. Hidden ones are left out, and so are empty files, unless they
    are Parquet, which has a footer at least. The folder of a Delta table stands for its live files, in the newest
    *version* if None.

    Raises:
        NoInputError: If there is nothing to read.
        ConfigError: If there is a *version*, and no Delta table.
        InputDataError: If a suffix is unknown, formats are mixed, or not all files of a folder are rows.
    """
    try:
        return _discover(path, version)
    except PermissionError as error:
        raise NoInputError(f"{error.filename or path}: cannot be read; check its permissions") from error
    except Unreachable as error:
        raise NoInputError(f"{path}: {error.strerror}") from error


def _discover(path: str, version: int | None) -> tuple[list[Found], bool]:
    here = place_of(path)
    is_folder = storage.is_folder(here)
    if is_folder and storage.is_delta_table(here):
        return _live(here, version), False
    if version is not None:
        raise ConfigError(f"input.version: {path} is no Delta table, and has no versions; leave it out")
    if not is_folder and storage.exists(here):
        return [_single(here)], True
    if not is_folder and not storage.is_pattern(path):
        raise NoInputError(f"{path}: there is no such file; check input.path")
    root = here if is_folder else _fixed_part(here)
    refuse_managed([root.absolute(), storage.resolved(root)])
    paths = table_files(here) if is_folder else storage.matching(path)
    found = _tables(root, paths, named=() if is_folder else here.parts)
    refuse_managed({item.path.parent.absolute() for item in found})
    if not found:
        raise NoInputError(f"{path}: holds no file that ends in one of {_KNOWN}; {_elsewhere(here)}")
    _refuse_mixture(path, found)
    return found, False


def _live(table: Place, version: int | None) -> list[Found]:
    from pipeline.inputs.delta.snapshot import live_files  # noqa: PLC0415 - few inputs are Delta tables

    found = [Found(file.path, file.name, "delta", file.live) for file in live_files(table, version)]
    if not found:
        raise NoInputError(f"{table}: is a Delta table without rows; check input.path and input.version")
    return found


def _single(path: Place) -> Found:
    kind = _format(path)
    if kind is None:
        raise InputDataError(f"{path}: has no suffix that is known; give one of {_KNOWN}")
    refuse_managed([path.absolute().parent, storage.resolved(path).parent])
    return Found(path, path.name, kind)


def refuse_impostor(found: Found) -> None:
    """Ensure that a file can be opened and that its first bytes match its name.

    Raises:
        NoInputError: If it cannot be opened.
        InputDataError: If it is empty or of another kind; the message names that kind.
    """
    try:
        if not storage.is_file(found.path):
            raise NoInputError(f"{found.path}: is no regular file; give a file, a folder or a glob")
        with storage.open_file(found.path) as file:
            head = file.read(_LONGEST_MAGIC)
    except OSError as error:
        raise NoInputError(
            f"{found.path}: cannot be read ({error.strerror}); check its permissions"
        ) from error
    if not head:
        raise InputDataError(f"{found.path}: is empty (0 bytes); not even a header is in it, write it again")
    expected = _expected(found)
    if (real := _recognize(head)) not in expected:
        raise InputDataError(
            f"{found.path}: is {real}, not {expected[0]} as its name says; {_REMEDIES.get(real, _CONVERT)}"
        )


_CONVERT = "convert it to Parquet or CSV"
_REMEDIES = {
    "text": "name it .csv, .tsv or .jsonl if it is a table",
    "gzip": "name it .csv.gz if it is a packed CSV, else unpack it",
    "zstd": "name it .csv.zst if it is a packed CSV, else unpack it",
    "bzip2": "name it .csv.bz2 if it is a packed CSV, else unpack it",
    "an Arrow file": "name it .arrow",
    "an Arrow stream": "name it .arrow",
    "Parquet": "name it .parquet",
    "encrypted Parquet": "decrypt it first",
}


def _format(path: Place) -> str | None:
    """Return the format that the suffix of *path* tells; without a suffix, `parquet` if its first bytes do."""
    name = path.name.lower()
    kind = next((kind for suffix, kind in _SUFFIXES.items() if name.endswith(suffix)), None)
    if kind is None and "." not in name and storage.is_file(path):
        with suppress(OSError), storage.open_file(path) as file:
            return "parquet" if _recognize(file.read(_LONGEST_MAGIC)) == "Parquet" else None
    return kind


def _tables(root: Place, paths: Iterable[Place], *, named: Collection[str]) -> list[Found]:
    """Return the tables among *paths*, in the order of their names below *root*; parts that are *named* are not hidden."""
    found = []
    for path in paths:
        inner = path.relative_to(root)
        if is_hidden([path.name, *(part for part in inner.parts[:-1] if part not in named)]):
            continue
        if (kind := _format(path)) and not storage.is_folder(path):
            found.append(Found(path, inner.as_posix(), kind))
    return sorted(found, key=lambda found: found.name)


def _elsewhere(path: Place) -> str:
    """Say where the tables may be if none is in *path*."""
    found = sorted(storage.entries(path)) if storage.is_folder(path) else []
    seen = [(name, is_folder) for name, is_folder in found if not is_hidden([name])]
    if any(is_folder for _, is_folder in seen):
        inner = path / "**" / "*.parquet"
        return f"subfolders are read only if their names are like year=2024: give {inner} to read all"
    if bare := next((name for name, _ in seen if "." not in name), None):
        return f"{bare} has no suffix: give it one, if it is a table"
    return "check the path"


def _fixed_part(pattern: Place) -> Place:
    """Return the folder that all matches of a glob have in common."""
    while storage.is_pattern(str(pattern)):
        pattern = pattern.parent
    return pattern


def _refuse_mixture(path: str, found: list[Found]) -> None:
    formats = {item.format: item.name for item in found}
    if len(formats) > 1:
        examples = ", ".join(f"{name} ({kind})" for kind, name in sorted(formats.items()))
        raise InputDataError(f"{path}: mixes formats: {examples}; give one format, for instance by a glob")


def _expected(found: Found) -> tuple[str, ...]:
    packed = {".gz": "gzip", ".zst": "zstd", ".bz2": "bzip2"}.get(found.path.suffix.lower())
    if packed:
        return (packed,)
    return {
        "parquet": ("Parquet",),
        "delta": ("Parquet",),
        "arrow": ("an Arrow file", "an Arrow stream"),
    }.get(found.format, ("text",))


def _recognize(head: bytes) -> str:
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "text")
