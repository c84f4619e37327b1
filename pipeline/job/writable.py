"""Whether the output's columns can be written: Arrow reads some types of Parquet that it cannot write."""

from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.errors import InputDataError
from pipeline.outputs.columns import output_schema
from pipeline.outputs.writers.formats import PARQUET, ensure_place
from pipeline.outputs.writers.original import Original
from pipeline.outputs.writers.parquet import written_leaves

if TYPE_CHECKING:
    from pipeline.job.job import Job


def ensure_writable(job: "Job") -> list[str]:
    """Check that the columns of the output can be written, and return a sentence for each type that it cannot keep.

    Raises:
        InputDataError: With a line for each column that cannot be written.
    """
    kept = job.kept_schema()
    columns = job.config.output.columns
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
