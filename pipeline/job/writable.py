"""Whether the output can be written: names that clash with the input's, types that Arrow cannot write, what is there already."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.config import Config, OutputSettings
from pipeline.config.paths import format_of
from pipeline.errors import InputDataError
from pipeline.inputs.source import Source, places
from pipeline.inputs.text import names_labels
from pipeline.job.workspace import Workspace
from pipeline.outputs.columns import output_names, output_schema
from pipeline.outputs.destination import RUN_METADATA_KEY, ensure_creatable, output_name
from pipeline.outputs.writers.formats import DELTA, PARQUET, ensure_place
from pipeline.outputs.writers.original import Original
from pipeline.outputs.writers.parquet import written_leaves
from pipeline.system.places import Place

if TYPE_CHECKING:
    from pipeline.job.job import Job


def output_problems(source: Source, output: OutputSettings) -> Iterator[str]:
    """Yield conflicts between the input's files and the output's."""
    if output.is_table:
        return
    path, suffix = output.path, format_of(output.path)
    if source.single and suffix is None:
        yield f"output.path: {path}: the input is one file; give the output a name ending in .{output.file_format}"
    if not source.single and suffix is not None:
        yield (
            f"output.path: {path}: the input is a folder or a glob, so the output is a folder; "
            f"drop .{suffix} and set output.format"
        )
    names: dict[str, str] = {}
    for file in source.files:
        name = output_name(file.name, output.file_format)
        other = names.setdefault(name, file.name)
        if other != file.name:
            yield f"input.path: {other} and {file.name} would both become {name}; rename one"


def column_problems(config: Config, source: Source) -> Iterator[str]:
    """Yield conflicts between the input's columns and the output's."""
    names, columns = source.schema.names, config.output.columns
    for name in columns.only or ():
        if name not in names:
            yield f"output.columns.only: {name}: the input has no such column; it has {', '.join(names)}"
    if config.task.gold is not None and config.task.gold not in names:
        yield f"task.gold: {config.task.gold}: the input has no such column; it has {', '.join(names)}"
    elif config.task.gold is not None and not names_labels(source.schema.field(config.task.gold).type):
        yield (
            f"task.gold: {config.task.gold}: is {source.schema.field(config.task.gold).type}; "
            "right labels are text, or lists of text"
        )
    is_our_output = RUN_METADATA_KEY in (source.schema.metadata or {})  # its labels may be replaced
    kept = columns.only if columns.only is not None else names
    clashes = [name for name in output_names(config.task.kind, columns.prefix) if name in kept]
    if clashes and not is_our_output:
        yield (
            f"output.columns.prefix: the input already has {', '.join(clashes)}; "
            "set a prefix for the new columns, such as tag_"
        )
    if len(set(names)) < len(names) and columns.only is None:
        twice = next(name for name in names if names.count(name) > 1)
        yield (
            f"input.path: columns {places(names, twice)} of the input have one name, {twice!r}; "
            "rename all but one, or name the columns to keep in output.columns.only"
        )


def ensure_writable(job: "Job") -> list[str]:
    """Check that the columns of the output can be written, and return a sentence for each type that it cannot keep.

    Raises:
        InputDataError: With a line for each column that cannot be written.
    """
    kept = job.kept_schema()
    columns = job.config.output.columns
    if job.form == DELTA:
        _table_schema(job)
        return []
    if job.form != PARQUET:
        if problems := _problems(job, kept):
            raise InputDataError(*problems)
        return []
    first = job.source.files[0]
    original = Original.at(first.path) if first.format == "parquet" else None
    try:
        written = written_leaves(output_schema(kept, job.config.task.kind, columns.prefix), original)
    except (pa.ArrowException, ValueError) as error:
        raise InputDataError(*(_problems(job, kept) or [str(error)])) from error
    return list(original.losses(written)) if original else []


def ensure_appendable(job: "Job") -> None:
    """Check that the output's rows can be appended to its Delta table.

    Raises:
        CannotCreateError: If not.
    """
    from pipeline.outputs.delta.columns import ensure_appendable as ensure  # noqa: PLC0415 - few outputs are tables

    ensure(job.output, _table_schema(job), job.config.output.columns.prefix)


def _table_schema(job: "Job") -> pa.Schema:
    from pipeline.outputs.delta.columns import delta_schema  # noqa: PLC0415

    try:
        return delta_schema(job.kept_schema(), job.config.task.kind, job.config.output.columns.prefix)
    except ValueError as error:
        raise InputDataError(f"{job.config.input.path}: {error}") from error


def _problems(job: "Job", kept: pa.Schema) -> list[str]:
    return [
        f"{job.config.input.path}: column {field.name!r} can be read and not written as {job.form} ({reason}); "
        "give the columns to keep in output.columns.only, without this one"
        for field in kept
        if (reason := _reason(job.form, field))
    ]


def _reason(form: str, field: pa.Field) -> str | None:
    try:
        ensure_place(form, pa.schema([field]))
    except (pa.ArrowException, ValueError) as error:
        return " ".join(str(error).split())
    return None


def ensure_output(job: "Job") -> None:
    """Check that the output can be created; called before the first request, not after the last.

    Raises:
        CannotCreateError: If another program's output is there, or the folder cannot be written.
    """
    if job.form == DELTA:
        ensure_appendable(job)
        return
    ensure_replaceable(job.workspace, job.output, single=job.source.single, overwrite=job.options.overwrite)


def ensure_replaceable(state: Workspace, output: Place, *, single: bool, overwrite: bool = False) -> None:
    """Check that the *output* whose workspace is *state* can be created, or replaced; see `ensure_output`."""
    record = state.load()
    ensure_creatable(output, record.digests if record else (), single=single, overwrite=overwrite)
