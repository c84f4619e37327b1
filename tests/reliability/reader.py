"""Somebody who reads the output all the time, whatever happens to the run that writes it."""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq


class Reader:
    """Opens and reads an output in a loop, in a thread; a context manager.

    Attributes:
        reads: How often the output was there and was read.
        failures: What went wrong: never anything, as a path is absent or leads to a whole output.
    """

    def __init__(self, output: Path, pause_seconds: float = 0.005) -> None:
        """Make one; *pause_seconds* lies between two readings."""
        self._output, self._pause = output, pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="reader")
        self.reads = 0
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _loop(self) -> None:
        while not self._stop.is_set():
            self._read()
            time.sleep(self._pause)

    def _read(self) -> None:
        try:
            files = sorted(self._output.iterdir()) if self._output.is_dir() else [self._output]
            tables = [pq.read_table(pa.BufferReader(file.read_bytes()), use_threads=False) for file in files]
        except FileNotFoundError:
            if self.reads:
                self.failures.append("the output was there and has gone")
            return
        except (OSError, pa.ArrowException) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        self.reads += 1
        for table in tables:
            if table["label_status"].null_count:
                self.failures.append("a row has no status")
        rows = int(tables[0].schema.metadata[b"pipeline.rows"])
        if len(tables) == 1 and tables[0].num_rows != rows:
            self.failures.append(f"{tables[0].num_rows} rows of {rows}")
