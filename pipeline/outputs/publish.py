"""Publish the output atomically: the input's columns, streamed, beside the new ones.

At any instant a reader of the output path finds nothing, the complete old output, or the complete new one.
"""

import ctypes
import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from pipeline.outputs.columns import KEY, output_names, output_schema, published
from pipeline.outputs.join import Joiner, OutputFile
from pipeline.outputs.parts import Parts
from pipeline.outputs.tally import Tally
from pipeline.outputs.writers import ROW_GROUP_ROWS
from pipeline.outputs.writers.formats import PARQUET, open_writer
from pipeline.outputs.writers.original import Original
from pipeline.outputs.writers.readers import with_true_columns
from pipeline.system.atomic import replacing, sweep, sync, temporary_name
from pipeline.system.memory import trim_heap
from pipeline.system.prefetch import prefetch_sync

RENAME_EXCHANGE = 2
"""From linux/fs.h."""

SYNCS_AT_ONCE = 16
"""Syncs of a folder's files that a disk can put together."""

AT_FDCWD = -100
"""From linux/fcntl.h."""


@dataclass(frozen=True, slots=True)
class Publication:
    """Describes an output to publish.

    Attributes:
        path: The destination: a file, or a folder.
        files: Its files, in the order of the input.
        rows: Number of rows in all of them.
        kind: The task's kind, `single` or `multi`.
        prefix: Prefix of the new columns' names.
        metadata: Key-value metadata for each file, where its format has a place for them; `pipeline.run` is among them.
        single: Whether the output is one file.
        form: The format of its files.
        row_group_rows: Number of rows at which a row group is complete.
    """

    path: Path
    files: Sequence[OutputFile]
    rows: int
    kind: str
    prefix: str
    metadata: Mapping[bytes, bytes]
    single: bool
    form: str = PARQUET
    row_group_rows: int = ROW_GROUP_ROWS


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
    from pipeline.outputs.duplicates import Duplicates  # noqa: PLC0415 - loads polars, which a run needs only at its end

    trim_heap()  # publishing needs the most memory of all
    publication = replace(publication, path=Path(os.path.realpath(publication.path)))
    publication.path.parent.mkdir(parents=True, exist_ok=True)
    sweep(publication.path)
    keys = parts.folder.parent / "keys"
    with _temporary_folder(keys, 0o700) as folder, Duplicates(folder, publication.rows) as duplicates:
        spans = [span for output_file in publication.files for span in output_file.spans]
        with closing(prefetch_sync(parts.read(span, [KEY]) for span in spans)) as keys_only:
            duplicates.add_all(part.column(KEY) for part in keys_only)
        duplicates.finish()
        trim_heap()
        joiner = Joiner(parts, duplicates, ensure_running, publication.row_group_rows)
        if publication.single:
            with replacing(publication.path) as temporary:
                _write(temporary, publication, publication.files[0], joiner, tally)
                tally.settle(publication.prefix)
                written(temporary)
                sync(temporary)  # takes long, and nothing may delay the rename after `before_rename`
                before_rename()
        else:
            _publish_folder(publication, joiner, tally, written, before_rename)


def _write(
    path: Path, publication: Publication, output_file: OutputFile, joiner: Joiner, tally: Tally
) -> None:
    original = Original.of(output_file.original) if output_file.original else None
    described = original.described(output_file.schema) if original else output_file.schema
    schema = with_true_columns(
        output_schema(described, publication.kind, publication.prefix, publication.metadata)
    )
    names = output_names(publication.kind, publication.prefix)
    kept = [name for name in output_file.schema.names if name not in names]
    with open_writer(publication.form, path, schema, original) as writer:
        for group in joiner.row_groups(output_file):
            new = published(group.part, group.duplicates, publication.prefix)
            tally.add_soon(new, publication.prefix)
            columns = [group.rows.column(name) for name in kept] + [new[name] for name in names]
            writer.write(pa.Table.from_arrays(columns, schema=schema))
            del group, new, columns  # frees them before the next group is read
    for remark in writer.remarks:
        tally.remarks.setdefault(remark)


def _publish_folder(
    publication: Publication,
    joiner: Joiner,
    tally: Tally,
    written: Callable[[Path], None],
    before_rename: Callable[[], None],
) -> None:
    path = publication.path
    with _temporary_folder(path) as temporary:
        for output_file in publication.files:
            file = temporary / output_file.name
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(file, publication, output_file, joiner, tally)
        tally.settle(publication.prefix)
        _sync_all([temporary, *temporary.rglob("*")], joiner.ensure_running)
        written(temporary)
        before_rename()
        if path.exists():
            exchange(temporary, path)
        else:
            temporary.rename(path)
        sync(path.parent)


def _sync_all(paths: Sequence[Path], ensure_running: Callable[[], None]) -> None:
    """Flush all *paths* to the disk, several at once: it takes hardly longer than for one of them."""

    def sync_some(some: Sequence[Path]) -> None:
        for path in some:
            ensure_running()
            sync(path)

    with ThreadPoolExecutor(SYNCS_AT_ONCE, thread_name_prefix="sync") as pool:
        for done in [pool.submit(sync_some, paths[number::SYNCS_AT_ONCE]) for number in range(SYNCS_AT_ONCE)]:
            done.result()


@contextmanager
def _temporary_folder(path: Path, mode: int = 0o777) -> Iterator[Path]:
    """Create a folder beside *path* that is removed afterwards, and remove those of earlier processes.

    Each process has its own: one that wakes up after another has taken over must not write into the other's.
    """
    temporary = temporary_name(path)
    names = re.compile(rf"\.{re.escape(path.name)}\.\d+\.tmp")
    for left in path.parent.glob(".*.tmp"):
        if left.is_dir() and names.fullmatch(left.name):
            shutil.rmtree(left, ignore_errors=True)
    temporary.mkdir(mode)
    try:
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def exchange(new: Path, old: Path) -> None:
    """Swap the names of two folders, atomically on Linux; elsewhere *old* is missing for an instant."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        if renameat2(AT_FDCWD, os.fsencode(new), AT_FDCWD, os.fsencode(old), RENAME_EXCHANGE) == 0:
            return
        if ctypes.get_errno() not in {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(old))
    aside = old.with_name(f".{old.name}.old")
    shutil.rmtree(aside, ignore_errors=True)
    old.rename(aside)
    new.rename(old)
    aside.rename(new)
