"""Copy some rows of an input into a file of their own."""

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.inputs.read import read_batches
from pipeline.inputs.source import Source
from pipeline.system.atomic import replacing


def sample_rows(rows: int, count: int, seed: int) -> Sequence[int]:
    """Draw *count* of the row indices below *rows* at random, in ascending order; the same *seed* draws the same."""
    return sorted(random.Random(seed).sample(range(rows), min(count, rows)))  # noqa: S311 - not a secret


def cut_rows(source: Source, rows: Sequence[int], path: Path) -> None:
    """Copy the rows of *source* at the ascending indices *rows* to the Parquet file *path*.

    Raises:
        InputDataError: If a file can no longer be read as the survey found it.
        OSError: If *path* cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    waiting, position = list(reversed(rows)), 0
    with replacing(path, 0o600) as temporary, pq.ParquetWriter(temporary, source.schema) as writer:
        for file in source.files:
            if not waiting:
                break
            for batch in read_batches(source, file):
                taken = []
                while waiting and waiting[-1] < position + batch.num_rows:
                    taken.append(waiting.pop() - position)
                if taken:
                    writer.write_batch(batch.take(pa.array(taken)))
                position += batch.num_rows
                if not waiting:
                    break
