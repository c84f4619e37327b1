"""The output's formats: the writer of each, and whether it has a place for a column."""

import os
from pathlib import Path

import pyarrow as pa

from pipeline.outputs.writers import Writer
from pipeline.outputs.writers.original import Original
from pipeline.outputs.writers.parquet import ParquetFileWriter, written_leaves

PARQUET, DELTA = "parquet", "delta"
_PACKED = ".gz"


def open_writer(form: str, sink: Path, schema: pa.Schema, original: Original | None = None) -> Writer:
    """Open *sink* for rows of *schema* in the format *form*, one of `OUTPUT_FORMATS`.

    *original* is the Parquet file that a Parquet file is made from.
    """
    packed = form.endswith(_PACKED)
    match form.removesuffix(_PACKED):
        case "csv":
            from pipeline.outputs.writers.csv import CsvFileWriter  # noqa: PLC0415 - imports polars

            return CsvFileWriter(sink, schema, packed=packed)
        case "jsonl":
            from pipeline.outputs.writers.jsonl import JsonLinesWriter  # noqa: PLC0415 - imports polars

            return JsonLinesWriter(sink, packed=packed)
        case _:
            return ParquetFileWriter(sink, schema, original)


def ensure_place(form: str, schema: pa.Schema) -> None:
    """Check that a format has a place for columns of *schema*, by writing a row of nulls to nowhere.

    Raises:
        pa.ArrowException, ValueError: If it has none.
    """
    if form == PARQUET:
        written_leaves(schema)
        return
    import polars as pl  # noqa: PLC0415 - Parquet does without

    try:
        with open_writer(form, Path(os.devnull), schema) as writer:
            writer.write(pa.table([pa.nulls(1, kind) for kind in schema.types], names=schema.names))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ValueError(str(error)) from error
