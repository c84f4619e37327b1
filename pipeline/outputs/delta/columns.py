"""The columns of a Delta table of labels, and whether a table that is there can take them."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as is_a

from pipeline import storage
from pipeline.errors import CannotCreateError
from pipeline.outputs.columns import BILLED, SOURCE, output_schema
from pipeline.storage import delta
from pipeline.system.places import Place

BATCH = "label_batch"
"""The column with the number of the batch in which a row came: the rows of a key's latest one are the key's."""

UNWRITABLE = {"columnMapping"}
"""Features of a table that deltalake knows to read and not to write."""


def delta_schema(kept: pa.Schema, kind: str, prefix: str) -> pa.Schema:
    """Return the columns as Delta has them: the keys *kept* of the input, the new ones, and that of the batch.

    Raises:
        ValueError: If Delta has no place for one, which is named.
    """
    made = pa.schema(
        [*map(_as_delta, output_schema(kept, kind, prefix)), pa.field(prefix + BATCH, pa.int64())]
    )
    if len(set(made.names)) < len(made):
        raise ValueError(f"column {prefix + BATCH!r} is the number of a batch; rename that of the input")
    return made


def compared(schema: pa.Schema, keys: Sequence[str], prefix: str) -> list[str]:
    """Return the columns in which a row differs that has to be appended anew.

    Which of the rows with one text is the first, and so has the bill, says nothing about them.
    """
    left_out = {*keys, *(prefix + name for name in (SOURCE, BATCH, *BILLED))}
    return [name for name in schema.names if name not in left_out]


def misfits(table: Any, schema: pa.Schema, batch: str) -> Iterator[str]:
    """Yield why rows of *schema* cannot be appended to *table*, which is open: sentences."""
    there = pa.schema(table.schema().to_arrow())
    if batch not in there.names:
        yield f"is a Delta table without the column {batch}, so none of labels; give output.path a folder of its own"
        return
    for field in there:
        if field.name not in schema.names and not field.nullable:
            yield f"its column {field.name!r} may not be null, and is none of the output's; drop it, or let it be null"
        elif field.name in schema.names and field.type != schema.field(field.name).type:
            yield (
                f"its column {field.name!r} is {field.type}, and would be {schema.field(field.name).type}; give "
                "output.path a folder of its own"
            )
    for feature in sorted(UNWRITABLE & set(table.protocol().writer_features or ())):
        yield f"has the feature {feature}, with which it cannot be written; give output.path a folder of its own"


def _as_delta(field: pa.Field) -> pa.Field:
    if is_a.is_uint64(field.type):
        raise ValueError(f"column {field.name!r} is uint64, of which Delta holds half; make it text or int64")
    try:
        made = delta.deltalake().Schema.from_arrow(pa.schema([pa.field(field.name, field.type)]))
    except Exception as error:
        raise ValueError(
            f"column {field.name!r} is {field.type}, which Delta does not have; convert it"
        ) from error
    kind = pa.schema(made.to_arrow()).field(0).type
    if is_a.is_timestamp(kind):
        kind = pa.timestamp("us", kind.tz and "UTC")
    return pa.field(field.name, kind)


def ensure_appendable(place: Place, schema: pa.Schema, prefix: str) -> None:
    """Ensure, before the first request is sent, that rows of *schema* can be appended to the table at *place*.

    Raises:
        CannotCreateError: If something else is there, or the table does not fit.
    """
    try:
        if delta.is_created(place):
            if sentences := list(misfits(delta.open_table(place), schema, prefix + BATCH)):
                raise CannotCreateError(*(f"{place}: {sentence}" for sentence in sentences))
        elif storage.exists(place) and not _is_left_behind(place, prefix + BATCH):
            raise CannotCreateError(
                f"{place}: is there already and is no Delta table; give output.path another folder"
            )
        storage.ensure_writable(storage.target(place))
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise CannotCreateError(f"{place}: cannot be written: {reason}; check output.path") from error


def _is_left_behind(place: Place, batch: str) -> bool:
    """Return whether all files at *place* are of a run that was killed before its first commit, or none is there."""
    return storage.is_folder(place) and all(_has_batch(file, batch) for file in storage.files_below(place))


def _has_batch(file: Place, batch: str) -> bool:
    if (
        "_delta_log" in file.parts or "#" in file.name
    ):  # what deltalake writes has such a name until it is whole
        return True
    try:
        with storage.open_arrow(file) as opened:
            return batch in pq.read_schema(opened).names
    except (pa.ArrowException, OSError):
        return False
