"""Bring each input file that is not Parquet in once, strictly, as a Parquet copy.

Beside a copy lies its footer, a file of its own: a file whose footer is there was taken in whole and checked. The footer
stays when the copy has gone, so that a finished job is found finished without reading its input again.
"""

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_a

from pipeline import storage
from pipeline.config import CsvSettings
from pipeline.errors import CannotCreateError, DiskError, InputDataError
from pipeline.inputs.intake.compression import Unpacked
from pipeline.inputs.source import Block, Contents, InputFile, Source, fingerprint
from pipeline.system.atomic import make_new, make_private, sweep, temporary_name
from pipeline.system.places import Place

FORMATS = {
    "csv": "pipeline.inputs.intake.delimited",
    "json": "pipeline.inputs.intake.json_lines",
    "arrow": "pipeline.inputs.intake.arrow",
}
"""Format name to the module that implements the `Format` protocol."""

_VERSION = 2  # raise it when a file would be taken in otherwise than before

_GROUP_BYTES = 8 << 20
"""Size of a row group: what is decoded at once, and what a span far into the file can skip."""


class Format(Protocol):
    """Reads the files of one format."""

    def tables(self, path: Place, raw: Unpacked, settings: CsvSettings) -> Generator[pa.Table]:
        """Yield the rows in order; the first table has the schema and may have no rows, all have the same one.

        Raises:
            InputDataError: If the file cannot be used; one line for the user.
            ConfigError: If *settings* do not fit the file.
            OSError: If it cannot be read to its end.
        """


@dataclass(frozen=True, slots=True)
class _Original:
    """A file to take in."""

    path: Place
    format: str
    stamp: storage.Stamp
    csv: CsvSettings

    @property
    def digest(self) -> str:
        """Identifies how it is read."""
        # What counts as no text is judged when the rows are read, but changes their prompts.
        return repr([_VERSION, self.csv.model_dump()]) if self.format == "csv" else repr([_VERSION])

    @property
    def name(self) -> str:
        """The name of its copy."""
        how = self.csv.model_copy(update={"nulls": ()}).model_dump() if self.format == "csv" else None
        return f"{fingerprint(str(self.path), astuple(self.stamp), _VERSION, how)}.parquet"


def find_or_take_in(
    path: Place, kind: str, stamp: storage.Stamp, csv: CsvSettings, folder: Path
) -> tuple[Path, Contents]:
    """Return where the copy of a file is, or would be, and its contents; take it in unless it was before.

    Raises:
        InputDataError, ConfigError: If the file cannot be used.
        CannotCreateError, DiskError: If the copy cannot be written.
    """
    original = _Original(path, kind, stamp, csv)
    copy = folder / original.name
    footer = _known(copy) or _take_in(original, copy)
    return copy, Contents(footer.schema.to_arrow_schema(), tuple(_blocks(footer)), original.digest)


def bring_in(source: Source, folder: Path | None = None) -> Source:
    """Make the copies that have gone again, in *folder* or where they were, and return the input that reads them."""
    return replace(source, files=tuple(_brought_in(file, source.csv, folder) for file in source.files))


def _brought_in(file: InputFile, csv: CsvSettings, folder: Path | None) -> InputFile:
    if file.copy is None or file.copy.exists():
        return file
    copy = (folder or file.copy.parent) / file.copy.name
    footer = _take_in(_Original(file.origin, file.format, file.stamp, csv), copy)
    if file.all_blocks is not None:
        return replace(file, path=copy)
    return replace(file, path=copy, blocks=tuple(_blocks(footer)))  # another pyarrow may cut other row groups


def drop(source: Source) -> None:
    """Remove the copies; the footers stay."""
    for file in source.files:
        drop_copy(file)


def drop_copy(file: InputFile) -> None:
    """Remove the copy that is read as *file*, if it is one, so that it is made again."""
    if file.copy is not None:
        file.copy.unlink(missing_ok=True)


def tidy(folder: Path, source: Source) -> None:
    """Remove what is in *folder* of other files, or of these as they were; call it with the job's lock held."""
    if not folder.is_dir():
        return
    used = {path for file in source.files if file.copy for path in (file.copy, footer_of(file.copy))}
    for path in set(folder.iterdir()) - used:
        if path.name.startswith("."):
            sweep(path.with_name(path.name[1:].rsplit(".", 2)[0]))  # unless it is being written
        else:
            path.unlink(missing_ok=True)


def footer_of(copy: Path) -> Path:
    """Return the path of the footer of a *copy*, which stays when the copy goes."""
    return copy.with_suffix(".footer")


def _known(copy: Path) -> pq.FileMetaData | None:
    """Return the footer of a file that was taken in whole, or None."""
    try:
        return pq.read_metadata(footer_of(copy))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, pa.ArrowException):  # damaged
        return None


def _blocks(footer: pq.FileMetaData) -> Iterator[Block]:
    first = 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        yield Block(first, group.num_rows, number, group.total_byte_size)
        first += group.num_rows


def _take_in(original: _Original, copy: Path) -> pq.FileMetaData:
    """Write the copy of a file, then its footer."""
    try:
        make_private(copy.parent)
    except OSError as error:
        raise CannotCreateError(f"{copy.parent}: cannot be written: {error}; check state.dir") from error
    try:
        sweep(copy)
        with _replacing(copy) as temporary:
            footer = _write(original, temporary)
            _ensure_unchanged(original)
        with _replacing(footer_of(copy)) as temporary:
            footer.write_metadata_file(str(temporary))
    except OSError as error:
        raise DiskError(
            f"{original.path}: no copy of it can be written to {copy.parent} ({error}); make room there"
        ) from error
    return footer


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside *path*, which replaces *path* if the block succeeds.

    Not synced, which would take a folder of small files most of its time: after a power cut a damaged footer counts as none, and
    a damaged copy is found by its checksums and made again.
    """
    temporary = temporary_name(path)
    make_new(temporary)
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write(original: _Original, path: Path) -> pq.FileMetaData:
    tables = _tables(original)
    first = next(tables)
    # Statistics of numbers and times tell which type holds all files. Those of texts would be kept in the footer, which
    # outlives the copy.
    numbers = [
        each.name for each in first.schema if is_a.is_primitive(each.type) or is_a.is_decimal(each.type)
    ]
    with (
        closing(tables),
        pq.ParquetWriter(
            path,
            first.schema,
            compression="zstd",
            compression_level=1,
            write_statistics=numbers,
            write_page_checksum=True,
            use_compliant_nested_type=False,  # which would give the items of lists another name
        ) as writer,
    ):
        for group in _groups(tables):
            writer.write_table(group, row_group_size=max(1, group.num_rows))
    return pq.read_metadata(path)


def _groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of *tables* in tables of about a row group's size."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(each.nbytes for each in waiting) >= _GROUP_BYTES:
            yield pa.concat_tables(waiting)
            waiting = []
    if any(each.num_rows for each in waiting):
        yield pa.concat_tables(waiting)


def _tables(original: _Original) -> Generator[pa.Table]:
    """Yield the rows of a file."""
    module = cast("Format", import_module(FORMATS[original.format]))
    try:
        with closing(Unpacked(original.path)) as raw:
            yield from module.tables(original.path, raw, original.csv)
    except OSError as error:
        raise InputDataError(
            f"{original.path}: cannot be read to its end ({error}); write or copy it again"
        ) from error


def _ensure_unchanged(original: _Original) -> None:
    try:
        same = storage.stamp(original.path) == original.stamp
    except OSError:
        same = False
    if not same:
        raise InputDataError(f"{original.path}: changed while it was read; run again")
