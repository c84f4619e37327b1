"""Publish the output atomically: the input's columns, streamed, beside the new ones.

At any instant a reader of the output path finds nothing, the complete old output, or the complete new one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pyarrow as pa

from pipeline import storage
from pipeline.outputs.columns import KEY, output_names, output_schema
from pipeline.outputs.delta.intent import Append
from pipeline.outputs.duplicates import Duplicates
from pipeline.outputs.join import Joiner, NewColumns, OutputFile
from pipeline.outputs.parts import Parts
from pipeline.outputs.tally import GOLD, Tally
from pipeline.outputs.writers import ROW_GROUP_ROWS
from pipeline.outputs.writers.formats import PARQUET, open_writer
from pipeline.outputs.writers.readers import with_true_columns
from pipeline.records import Span
from pipeline.system.memory import trim_heap
from pipeline.system.places import Place
from pipeline.system.prefetch import map_in_threads, prefetch_sync

SMALL_AT_ONCE = 3
"""Small files that are written at once: pyarrow, which most of it takes, leaves the interpreter to the others."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Describes an output to publish.

    Attributes:
        path: The destination: a file, or a folder.
        files: Its files, in the order of the input.
        parts: The spans of its parts, in order and without gaps.
        rows: Number of rows in all of them.
        kind: The task's kind, `single` or `multi`.
        prefix: Prefix of the new columns' names.
        metadata: Key-value metadata for each file, where its format has a place for them; `pipeline.run` is among them.
        single: Whether the output is one file.
        form: The format of its files.
        row_group_rows: Number of rows at which a row group is complete.
        append: Who appends to it, if it is a table that is not replaced.
        gold: Name of the input column with the right labels, which the files' batches have; None for none.
    """

    path: Place
    files: Sequence[OutputFile]
    parts: Sequence[Span]
    rows: int
    kind: str
    prefix: str
    metadata: Mapping[bytes, bytes]
    single: bool
    form: str = PARQUET
    row_group_rows: int = ROW_GROUP_ROWS
    gold: str | None = None
    append: Append | None = None


def publish(
    publication: Publication,
    parts: Parts,
    tally: Tally,
    *,
    ensure_running: Callable[[], None],
    written: Callable[[Path], None] = lambda _: None,
    before_rename: Callable[[], None] = lambda: None,
) -> None:
    """Write the output and put it in place, while *tally* counts its rows.

    Args:
        publication: What to publish where. If its path is a link, the target of the link is replaced.
        parts: The new columns.
        tally: Counts the rows written.
        ensure_running: Called for every batch of the input; raises to stop.
        written: Called with the complete output, which has another name yet.
        before_rename: Called once all is synced to disk, right before the output appears; raises to prevent that.

    Raises:
        DamagedPartError: If a part cannot be read; its chunk must be redone.
        OSError: If the disk is full or failing; the old output is then unchanged.
    """
    trim_heap()  # publishing needs the most memory of all
    publication = replace(publication, path=storage.target(publication.path))
    storage.sweep(publication.path)
    keys = parts.folder.parent / "keys"
    with storage.temporary_folder(keys, 0o700) as folder, Duplicates(folder, publication.rows) as duplicates:
        with closing(prefetch_sync(parts.read(span, [KEY]) for span in publication.parts)) as keys_only:
            duplicates.add_all(part.column(KEY) for part in keys_only)
        duplicates.finish()
        trim_heap()
        new = NewColumns(parts, publication.parts, duplicates)
        joiner = Joiner(new, ensure_running, publication.row_group_rows)
        if publication.append is not None:
            _publish_table(publication, publication.append, joiner, tally, folder, before_rename)
        elif publication.single:
            with storage.replacing(publication.path, before_rename=before_rename) as temporary:
                tally.remark(_write(temporary, publication, publication.files[0], joiner, tally.add_soon))
                tally.settle()
                written(temporary)
        else:
            _publish_folder(publication, joiner, tally, written, before_rename)


def _write(
    path: Path,
    publication: Publication,
    output_file: OutputFile,
    joiner: Joiner,
    count: Callable[[pa.Table], None],
) -> Collection[str]:
    """Write a file, *count* the new columns of each row group, and return what its readers ought to know."""
    with output_file.opened() as (batches, original):
        described = original.described(output_file.schema) if original else output_file.schema
        schema = with_true_columns(
            output_schema(described, publication.kind, publication.prefix, publication.metadata)
        )
        with open_writer(publication.form, path, schema, original) as writer:
            for columns in _joined(publication, output_file, joiner, batches, count):
                writer.write(pa.Table.from_arrays(columns, schema=schema))
                columns.clear()  # frees them before the next group is read
    return writer.remarks


def _joined(
    publication: Publication,
    output_file: OutputFile,
    joiner: Joiner,
    batches: Iterator[pa.RecordBatch],
    count: Callable[[pa.Table], None],
) -> Iterator[list[pa.ChunkedArray]]:
    """Yield the columns of each row group, those that are kept and then the new ones, which *count* has."""
    new, gold = output_names(publication.kind, publication.prefix), publication.gold
    kept = [name for name in output_file.schema.names if name not in new]
    for group in joiner.row_groups(output_file, batches):
        count(group.new.append_column(GOLD, group.rows.column(gold)) if gold else group.new)
        columns = [*map(group.rows.column, kept), *group.new.columns]
        del group
        yield columns


def _publish_table(
    publication: Publication,
    append: Append,
    joiner: Joiner,
    tally: Tally,
    folder: Path,
    before_commit: Callable[[], None],
) -> None:
    """Append the rows that a table does not have yet: all are compared first, then those are read once more."""
    from pipeline.outputs.delta.append import Appending  # noqa: PLC0415 - imports polars
    from pipeline.outputs.delta.changes import Changes  # noqa: PLC0415
    from pipeline.outputs.delta.columns import compared, delta_schema  # noqa: PLC0415

    kept, prefix = publication.files[0].schema, publication.prefix
    schema = delta_schema(kept, publication.kind, prefix)
    keys = [name for name in schema.names if name in kept.names]
    stored = pa.schema(list(schema)[:-1])  # all but the batch

    def rows(count: Callable[[pa.Table], None] = lambda _: None) -> Iterator[pa.Table]:
        for output_file in publication.files:
            with output_file.opened() as (batches, _):
                for columns in _joined(publication, output_file, joiner, batches, count):
                    yield pa.table([*map(_cast, columns, stored.types)], schema=stored)

    changes = Changes(folder, publication.rows, keys, compared(schema, keys, prefix))
    for some in rows(tally.add_soon):
        changes.add(some)
    tally.settle()
    metadata = {name.decode(): value.decode() for name, value in publication.metadata.items()}
    Appending(publication.path, schema, prefix, rows, append, metadata, before_commit).run(changes)
    if changes.sharing:
        tally.remark(
            [
                f"rows share their {' and '.join(keys)}, {changes.sharing:,} times; joined by it, they are doubled"
            ]
        )


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column as a table has it; nanoseconds are cut."""
    return column if column.type == kind else column.cast(kind, safe=not pa.types.is_timestamp(kind))


def _publish_folder(
    publication: Publication,
    joiner: Joiner,
    tally: Tally,
    written: Callable[[Path], None],
    before_rename: Callable[[], None],
) -> None:
    with storage.replacing_folder(
        publication.path, ensure_running=joiner.ensure_running, before_rename=before_rename
    ) as temporary:
        for folder in {(temporary / file.name).parent for file in publication.files}:
            storage.make_folder(folder)

        def write(
            output_file: OutputFile, count: Callable[[pa.Table], None] = tally.add_soon
        ) -> Collection[str]:
            return _write(temporary / output_file.name, publication, output_file, joiner, count)

        def write_small(output_file: OutputFile) -> tuple[list[pa.Table], Collection[str]]:
            counted: list[pa.Table] = []
            return counted, write(output_file, counted.append)

        for is_small, files in groupby(publication.files, key=attrgetter("is_small")):
            if is_small:
                # Counted here and in order, whichever file is ready first: sums of costs depend on it.
                for counted, remarks in map_in_threads(write_small, files, SMALL_AT_ONCE):
                    for new in counted:
                        tally.add_soon(new)
                    tally.remark(remarks)
            else:
                for remarks in map(write, files):
                    tally.remark(remarks)
        tally.settle()
        written(temporary)
