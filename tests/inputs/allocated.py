"""What Arrow allocates: the memory that reading takes."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa


@contextmanager
def allocated() -> Iterator[list[int]]:
    """Measure the most bytes that Arrow has had at once in the block."""
    before, peak = pa.default_memory_pool(), [0]
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        yield peak
    finally:
        peak[0] = pool.max_memory()
        pa.set_memory_pool(before)
