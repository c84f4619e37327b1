"""Export of the ledger's answers to a Parquet file."""

from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.ledger.schema import FIELDS
from pipeline.ledger.store import Store
from pipeline.system.atomic import replacing, sweep

ROWS = 65_536

TYPES = {
    "key": pa.binary(),
    "prompt_tokens": pa.int64(),
    "cached_tokens": pa.int64(),
    "completion_tokens": pa.int64(),
    "cost_usd": pa.float64(),
    "attempts": pa.int64(),
    "asks": pa.int64(),
    "at": pa.float64(),
}


METADATA = {b"pipeline.export": b"ledger"}
"""Metadata that distinguishes our exports from other files, also from our outputs."""


def is_export(path: Path) -> bool:
    """Return whether *path* is a file that `export` wrote."""
    try:
        return METADATA.items() <= (pq.read_metadata(path).metadata or {}).items()
    except (pa.ArrowException, OSError):
        return False


def export(store: Store, path: Path) -> int:
    """Write the newest answer of every key to *path*; return how many there are."""
    schema = pa.schema([pa.field(name, TYPES.get(name, pa.string())) for name in FIELDS], METADATA)
    count = 0
    answers = store.answers()
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path)
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while some := list(islice(answers, ROWS)):
            columns = zip(*some, strict=True)
            arrays = [
                pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
            count += len(some)
    return count
