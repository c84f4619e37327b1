"""Append labels to a Delta table, exactly once.

The commit has two transactions: one that all runs share, so that of two which have seen the same table one is refused; and one
of this state directory, by which a run that was killed after its commit knows that it has happened. Both are read from a
freshly opened table, and the commit is made from that very object: another one would let the same transaction in twice.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from pipeline.errors import DiskError, InterruptedRunError
from pipeline.outputs.delta.changes import Changes
from pipeline.outputs.delta.columns import BATCH
from pipeline.outputs.delta.intent import Append
from pipeline.storage import delta
from pipeline.system.places import Place

log = logging.getLogger(__name__)

APPLICATION = "nano-pipeline"
"""The application of the transactions."""

TRIES = 10
"""How often the table is looked at anew after another writer was quicker."""

Rows = Callable[[], Iterator[pa.Table]]


@dataclass(slots=True)
class Appending:
    """The rows of one output on their way to its table.

    Attributes:
        place: The table.
        schema: Its columns, as `delta_schema` makes them.
        prefix: Prefix of the new columns' names.
        rows: Yields all rows, without their batch; can be called again.
        append: Who appends.
        metadata: What the commit says of it.
        before_commit: Called before anything is written and right before the commit; raises to prevent it.
    """

    place: Place
    schema: pa.Schema
    prefix: str
    rows: Rows
    append: Append
    metadata: dict[str, str]
    before_commit: Callable[[], None]
    _failure: list[BaseException] = field(default_factory=list)

    def run(self, changes: Changes) -> None:
        """Append the rows that the table does not have, given all of them in *changes*.

        Raises:
            DiskError: If it cannot be written.
            InterruptedRunError: If other writers were quicker again and again.
        """
        exceptions = delta.deltalake("exceptions")
        for _ in range(TRIES):
            try:
                with delta.speaking(self.place):
                    if self._is_done(changes):
                        return
            except exceptions.CommitFailedError:
                log.info("%s: another writer was quicker; looking at the table anew", self.place)
            except OSError as error:
                raise DiskError(
                    f"{self.place}: cannot be appended to ({error.strerror or error}); run again"
                ) from error
        raise InterruptedRunError(f"{self.place}: other writers are quicker again and again; run again")

    def _is_done(self, changes: Changes) -> bool:
        """Append what is missing in the table as it is now; return whether it is there now."""
        batch = self.prefix + BATCH
        if not delta.is_created(self.place):
            changes.compare(iter(()), batch)
            return self._is_created(changes)
        table = delta.open_table(self.place)
        if self.append.batch and (table.transaction_version(self._own) or 0) >= self.append.batch:
            return True  # an earlier execution was killed after its commit, or has not heard of it
        changes.compare(self._existing(table), batch)
        if changes.new:
            self._write(table, changes, (table.transaction_version(APPLICATION) or 0) + 1, "append")
        else:
            self.before_commit()
            log.info("%s: has all rows already", self.place)
        return True

    def _is_created(self, changes: Changes) -> bool:
        try:
            self._write(str(self.place), changes, 1, "error")
        except delta.deltalake("exceptions").DeltaError:
            if not delta.is_created(self.place):
                raise
            return False  # another writer has created it meanwhile
        return True

    @property
    def _own(self) -> str:
        """The application of this state directory."""
        return f"{APPLICATION}:{self.append.owner}"

    def _existing(self, table: Any) -> Iterator[pa.Table]:
        """Yield the rows of *table*, in the columns of ours; what it does not have yet is null."""
        there = pa.schema(table.schema().to_arrow()).names
        names = [name for name in self.schema.names if name in there]
        for batch in pa.RecordBatchReader.from_stream(table.scan(columns=names)):
            columns = [
                batch[field.name].cast(field.type)
                if field.name in names
                else pa.nulls(len(batch), field.type)
                for field in self.schema
            ]
            yield pa.table(columns, schema=self.schema)

    def _write(self, table: Any, changes: Changes, batch: int, mode: str) -> None:
        library = delta.deltalake()
        transactions = [library.Transaction(APPLICATION, batch), library.Transaction(self._own, batch)]
        self.before_commit()
        self.append.batch = batch
        self.append.record(batch)
        self._failure.clear()
        try:
            library.write_deltalake(
                table,
                pa.RecordBatchReader.from_batches(self.schema, self._new_rows(changes, batch)),
                mode=mode,
                schema_mode="merge" if mode == "append" else None,
                storage_options=delta.options(self.place),
                commit_properties=library.CommitProperties(
                    custom_metadata=self.metadata, app_transactions=transactions
                ),
            )
        except Exception:
            if self._failure:  # deltalake has made its own of it
                raise self._failure[0] from None
            raise
        log.info("%s: %s rows appended as batch %s", self.place, f"{changes.new:,}", batch)

    def _new_rows(self, changes: Changes, number: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows to append. What goes wrong meanwhile is kept, and nothing is committed."""
        row = 0
        try:
            for table in self.rows():
                some = table.filter(changes.among(row, table.num_rows))
                row += table.num_rows
                batch = pa.repeat(pa.scalar(number, pa.int64()), some.num_rows)
                yield from pa.table([*some.columns, batch], schema=self.schema).to_batches()
            self.before_commit()
        except BaseException as error:
            self._failure.append(error)
            raise
