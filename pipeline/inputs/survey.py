"""Survey the input: find everything that is wrong with it before the first request."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.config import CsvSettings, InputSettings
from pipeline.errors import ConfigError, InputDataError, NoInputError, PipelineError
from pipeline.inputs.discover import Found, discover, refuse_impostor
from pipeline.inputs.folders import partitions_of
from pipeline.inputs.intake.copies import find_or_take_in, footer_of
from pipeline.inputs.intake.header import other_delimiter, row_of_data
from pipeline.inputs.parquet import inspect
from pipeline.inputs.schema import Part, nearest, one_schema
from pipeline.inputs.source import Contents, GoneError, InputFile, LiveFile, Source, fingerprint, places
from pipeline.inputs.text import has_text
from pipeline.system.places import Place

log = logging.getLogger(__name__)

_NAMES_SHOWN = 50
_NAME_SHOWN = 60  # characters of one


@dataclass(frozen=True, slots=True)
class _Inspected:
    """A file, the Parquet file to read it from, and its contents."""

    found: Found
    path: Place
    stamp: storage.Stamp
    contents: Contents

    @property
    def rows(self) -> int:
        return sum(block.rows for block in self.contents.blocks)

    @property
    def partitions(self) -> dict[str, str | None]:
        """The columns in its path; one that is in the file, too, is read there."""
        stored = self.contents.schema.names
        found = partitions_of(self.found.name)
        return {name: value for name, value in found.items() if name not in stored}

    @property
    def part(self) -> Part:
        schema = self.contents.schema
        for name in self.partitions:
            schema = schema.append(pa.field(name, pa.string()))
        copied = self.path != self.found.path and isinstance(self.path, Path)
        footer = footer_of(Path(self.path)) if copied else self.path
        return Part(footer, self.found.path, self.found.name, schema)


def survey(settings: InputSettings, used: Sequence[str], *, copies: Path) -> Source:
    """Find the input files and check all of them; no rows stay in memory.

    A Parquet file takes reading its footer and one page per column; any other is taken in, once.

    Args:
        settings: The section `input` of the config.
        used: The columns whose text is needed: each must exist, be unique and have a text.
        copies: The folder for the Parquet copies of files that are not Parquet.

    Raises:
        NoInputError: If there is nothing to read.
        InputDataError: If files cannot be used.
        ConfigError: If a column or a setting does not fit the files.
        DiskError: If a copy cannot be written.

        Whichever comes first is raised, with one line for each problem of each file.
    """
    found, single = discover(settings.path, settings.version)
    inspected, problems = _inspect(found, settings.csv, copies)
    if inspected:
        _warn_of_data_in_the_header(inspected[0], settings.csv)
        schema, differences = one_schema([file.part for file in inspected])
        problems += [*_used_problems(settings.path, inspected[0].found, schema, used), *differences]
    if problems:
        lines = [line for problem in problems for line in problem.problems]
        raise type(problems[0])(*lines)
    return _source(inspected, schema, settings.csv, single=single)


def _inspect(
    found: Sequence[Found], csv: CsvSettings, copies: Path
) -> tuple[list[_Inspected], list[PipelineError]]:
    inspected: list[_Inspected] = []
    problems: list[PipelineError] = []
    # Spark writes parts without a byte: not even a header is in them. Where nothing else is there, something went wrong.
    empty = [file for file in found if _is_empty(file)]
    for file in found if len(empty) == len(found) else [file for file in found if file not in empty]:
        try:
            refuse_impostor(file)
            stamp = storage.stamp(file.path)
            path, contents = _looked_into(file, stamp, csv, copies)
        except PipelineError as problem:
            if file.live is not None and isinstance(problem, NoInputError):
                raise _gone(file, file.live) from problem
            problems.append(problem)
        else:
            inspected.append(_Inspected(file, path, stamp, contents))
    for file in empty if inspected else ():
        log.warning("%s: is empty (0 bytes), so no rows come from it", file.path)
        no_rows = Contents(inspected[0].contents.schema, ())
        inspected.append(_Inspected(file, file.path, storage.stamp(file.path), no_rows))
    return sorted(inspected, key=lambda each: each.found.name), problems


def _looked_into(file: Found, stamp: storage.Stamp, csv: CsvSettings, copies: Path) -> tuple[Place, Contents]:
    """Return the Parquet file to read *file* from, and its contents."""
    if file.live is not None:
        from pipeline.inputs.delta.rows import live_contents  # noqa: PLC0415 - few inputs are Delta tables

        return file.path, live_contents(file.path, file.live)
    if file.format == "parquet":
        return file.path, inspect(file.path)
    return find_or_take_in(file.path, file.format, stamp, csv, copies)


def _gone(file: Found, live: LiveFile) -> GoneError:
    return GoneError(
        f"{file.path}: cannot be read, and version {live.version} of its Delta table has rows in it; VACUUM removes the files "
        "of old versions: read a newer one, or none in particular"
    )


def _is_empty(file: Found) -> bool:
    return (
        file.format not in {"parquet", "delta"}
        and storage.is_file(file.path)
        and not storage.stamp(file.path).size
    )


def _warn_of_data_in_the_header(first: _Inspected, csv: CsvSettings) -> None:
    if first.found.format == "csv" and csv.header and (name := row_of_data(first.contents.schema.names)):
        log.warning(
            "%s: the first line names a column %r; if it is a row of data, set csv.header to false",
            first.found.path,
            name[:_NAME_SHOWN],
        )


def _source(inspected: Sequence[_Inspected], schema: pa.Schema, csv: CsvSettings, *, single: bool) -> Source:
    firsts = accumulate((file.rows for file in inspected), initial=0)
    files = tuple(
        InputFile(
            path=file.path,
            origin=file.found.path,
            name=file.found.name,
            format=file.found.format,
            rows=file.rows,
            fingerprint=fingerprint(file.stamp, file.contents.digest),
            first_row=first,
            blocks=file.contents.blocks,
            stamp=file.stamp,
            schema=file.contents.schema,
            partitions=file.partitions,
            live=file.found.live,
        )
        for file, first in zip(inspected, firsts, strict=False)
    )
    return Source(
        files=files,
        schema=schema,
        rows=sum(file.rows for file in files),
        single=single,
        fingerprint=fingerprint(
            *(file.fingerprint for file in files),
            *(each for file in files for each in file.partitions.items()),
        ),
        csv=csv,
    )


def _used_problems(
    path: str, first: Found, schema: pa.Schema, used: Sequence[str]
) -> Iterator[PipelineError]:
    """Yield what is wrong with the used columns."""
    names: list[str] = schema.names
    if first.format == "csv" and not set(used) <= set(names) and (hint := other_delimiter(names)):
        yield InputDataError(f"{first.path}:1: {hint}")
        return
    for name in dict.fromkeys(used):
        if (count := names.count(name)) == 0:
            meant = f"did you mean {near!r}? Its" if (near := nearest(name, names)) else "its"
            yield ConfigError(f"{path}: has no column {name!r}; {meant} columns are {_shown(names)}")
        elif count > 1:
            where = places(names, name)
            yield InputDataError(f"{path}: has {count} columns named {name!r} ({where}); rename all but one")
        elif not name:
            yield InputDataError(f"{path}: the column used has no name; give it one")
        elif not has_text(kind := schema.field(name).type):
            yield InputDataError(
                f"{path}: column {name!r} is {kind}, which has no text; use a column of text or numbers"
            )


def _shown(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _NAMES_SHOWN} more"] if len(names) > _NAMES_SHOWN else []
    return ", ".join([*map(repr, names[:_NAMES_SHOWN]), *more])
