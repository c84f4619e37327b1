"""A job whose output can be published, with its input in memory and its parts on disk."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from pipeline.outputs.columns import part_schema
from pipeline.outputs.destination import RUN_METADATA_KEY
from pipeline.outputs.join import InputRows, OutputFile
from pipeline.outputs.parts import Parts
from pipeline.outputs.publish import Publication, publish
from pipeline.outputs.tally import Tally
from pipeline.records import Span
from tests.answers import part


def spans_of(cuts: Sequence[int], rows: int) -> list[Span]:
    edges = sorted({0, rows, *(cut for cut in cuts if cut < rows)})
    return [Span(start, stop) for start, stop in pairwise(edges)]


class PublishJob:
    """Publishes files of the same rows from an input in memory and parts in *folder*."""

    files = 1

    def __init__(
        self,
        folder: Path,
        rows: int = 100,
        cuts: Sequence[int] = (40,),
        batch_rows: int = 33,
        kind: str = "single",
    ) -> None:
        self.path = folder / "out" / "labelled.parquet"
        self.table = pa.table({"n": range(rows), "text": [f"row {n}" for n in range(rows)]})
        self.batch_rows, self.kind = batch_rows, kind
        self.parts = Parts(folder / "state" / "parts", "run-1", part_schema(kind))
        self.parts.folder.mkdir(parents=True)
        self.spans = spans_of(cuts, self.files * rows)
        for span in self.spans:
            self.parts.write(span, part([row % rows for row in range(span.start, span.stop)], kind))

    @contextmanager
    def opened(self) -> Iterator[InputRows]:
        yield InputRows(iter(self.table.to_batches(max_chunksize=self.batch_rows)))

    def output_file(self, name: str = "", number: int = 0) -> OutputFile:
        schema = self.table.schema.with_metadata({"owner": "a team"})
        rows = len(self.table)
        return OutputFile(name, schema, self.opened, Span(number * rows, (number + 1) * rows))

    def publication(self, prefix: str = "") -> Publication:
        return Publication(
            self.path,
            [self.output_file()],
            self.spans,
            len(self.table),
            self.kind,
            prefix,
            {RUN_METADATA_KEY: b"run-1"},
            single=True,
        )

    def publish(self, ensure_running: Callable[[], None] = lambda: None, **changes: int) -> Tally:
        tally = Tally("run-1")
        publish(replace(self.publication(), **changes), self.parts, tally, ensure_running=ensure_running)
        return tally


class FolderPublishJob(PublishJob):
    """Publishes a folder of two files."""

    files = 2

    def publication(self, prefix: str = "") -> Publication:
        files = [self.output_file("a.parquet"), self.output_file("deep/er/b.parquet", 1)]
        return Publication(
            self.path,
            files,
            self.spans,
            2 * len(self.table),
            self.kind,
            prefix,
            {RUN_METADATA_KEY: b"run-1"},
            single=False,
        )
