"""The publication of a job: its output files, what each is joined from, and their metadata."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial

from pipeline._version import __version__
from pipeline.inputs.read import open_batches
from pipeline.inputs.source import InputFile, Source
from pipeline.job.job import Job
from pipeline.outputs.delta.intent import Append
from pipeline.outputs.destination import RUN_METADATA_KEY, output_name
from pipeline.outputs.join import InputRows, OutputFile
from pipeline.outputs.parts import DamagedPartError, Parts, gaps
from pipeline.outputs.publish import Publication
from pipeline.outputs.writers.formats import PARQUET
from pipeline.outputs.writers.original import Original


def publication_of(job: Job, run_id: str, parts: Parts, append: Append | None = None) -> Publication:
    """Return the publication of *job* from its *parts*; *append* says who appends, if it is a table.

    Raises:
        DamagedPartError: If a part is missing; its rows must be labelled again.
    """
    spans = parts.spans(job.source.rows)
    for gap in gaps(job.source.rows, spans):
        raise DamagedPartError(f"the part of rows {gap.start} to {gap.stop - 1}")
    # Once, as there may be 100,000 files.
    source, schema, columns = job.source, job.kept_schema(), job.kept_columns()
    gold = job.config.task.gold
    if gold:
        columns = list(dict.fromkeys([*columns, gold]))
    where = source.where if job.keeps_unmatched else None
    if where is not None:
        source = replace(source, where=None, files=tuple(file.whole for file in source.files))
        columns = list(dict.fromkeys([*columns, *where.columns]))
    files = [
        OutputFile(
            name=output_name(file.name, job.form),
            schema=schema,
            opened=partial(_opened, source, file, columns, job.form),
            span=matched.span,
            size=sum(block.size for block in file.blocks),
            matching=None if where is None else where.matches,
        )
        for file, matched in zip(source.files, job.source.files, strict=True)
    ]
    return Publication(
        path=job.output,
        files=files,
        parts=spans,
        rows=job.source.rows,
        kind=job.config.task.kind,
        prefix=job.config.output.columns.prefix,
        metadata=_metadata(job, run_id),
        single=job.source.single,
        form=job.form,
        gold=gold,
        append=append,
    )


@contextmanager
def _opened(source: Source, file: InputFile, columns: Sequence[str], form: str) -> Iterator[InputRows]:
    """Open *file* of *source* once, for its rows and for how they are stored."""
    keeps = file.format == form == PARQUET
    if not (file.rows or keeps):  # it may be no Parquet file at all
        yield InputRows(iter(()))
        return
    with open_batches(source, file, columns) as (parquet, batches):
        yield InputRows(batches, Original.of(parquet) if keeps else None)


def _metadata(job: Job, run_id: str) -> dict[bytes, bytes]:
    """Return the entries of each output file's footer that tell whose it is."""
    learned = {
        b"pipeline.calibration": job.calibration,
        b"pipeline.second_calibration": job.second_calibration,
    }
    return {
        RUN_METADATA_KEY: run_id.encode(),
        b"pipeline.task": job.task.fingerprint.hex().encode(),
        b"pipeline.model": job.config.model.name.encode(),
        b"pipeline.version": __version__.encode(),
        b"pipeline.rows": str(job.source.rows).encode(),
        **{name: json.dumps(asdict(value)).encode() for name, value in learned.items() if value},
        **({b"pipeline.student": job.student.encode()} if job.student else {}),
        **({b"pipeline.carried": job.carried.encode()} if job.carried else {}),
    }
