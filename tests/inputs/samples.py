"""Contents of input files that several tests write."""

import pyarrow as pa
import pyarrow.parquet as pq

GOOD_CSV = "id,text\n1,one\n2,two\n"


def parquet_bytes(table: pa.Table, **options: object) -> bytes:
    """Return *table* as a Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


GOOD_PARQUET = parquet_bytes(pa.table({"text": ["abc", "def"]}), compression="gzip")
