"""Copy some rows of an input into a file of their own."""

import random
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inputs.read import read_batches
from pipeline.inputs.source import Source
from pipeline.system.atomic import replacing


def sample_rows(rows: int, count: int, seed: int) -> Sequence[int]:
    """Draw *count* of the row indices below *rows* at random, in ascending order; the same *seed* draws the same."""
    return sorted(random.Random(seed).sample(range(rows), min(count, rows)))  # noqa: S311 - not a secret


def cut_rows(source: Source, rows: Sequence[int], path: Path, columns: Sequence[str] | None = None) -> None:
    """Copy *columns* (None: all) of the rows at the ascending indices *rows* of *source* to the Parquet file *path*.

    Raises:
        InputDataError: If a file can no longer be read as the survey found it.
        OSError: If *path* cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    names = source.schema.names if columns is None else columns
    schema = pa.schema([source.schema.field(name) for name in names], source.schema.metadata)
    waiting, position = list(reversed(rows)), 0
    with replacing(path, 0o600) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        for file in source.files:
            if not waiting:
                break
            for batch in read_batches(source, file, columns):
                taken = []
                while waiting and waiting[-1] < position + batch.num_rows:
                    taken.append(waiting.pop() - position)
                if taken:
                    writer.write_table(_taken(batch, taken, schema))
                position += batch.num_rows
                if not waiting:
                    break


def _taken(batch: pa.RecordBatch, rows: Sequence[int], schema: pa.Schema) -> pa.Table:
    """Return the *rows* of *batch* as a table of *schema*, in which more columns may be null than in their file.

    They are slices, since Arrow cannot take single values of every type.
    """
    runs = [[row for _, row in run] for _, run in groupby(enumerate(rows), lambda pair: pair[1] - pair[0])]
    slices = [batch.slice(run[0], len(run)) for run in runs]
    return pa.Table.from_batches([pa.RecordBatch.from_arrays(each.columns, schema=schema) for each in slices])
