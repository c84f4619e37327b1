"""The publication of a job: its output files, what each is joined from, and their metadata."""

import json
from dataclasses import asdict, replace
from functools import partial
from itertools import groupby
from operator import attrgetter

from pipeline._version import __version__
from pipeline.inputs.read import read_batches
from pipeline.inputs.source import all_spans
from pipeline.job.job import Job
from pipeline.outputs.destination import RUN_METADATA_KEY, output_name
from pipeline.outputs.join import OutputFile
from pipeline.outputs.parts import DamagedPartError, Parts, gaps
from pipeline.outputs.publish import Publication
from pipeline.outputs.writers.formats import PARQUET


def publication_of(job: Job, run_id: str, parts: Parts) -> Publication:
    """Return the publication of *job* from its *parts*.

    Raises:
        DamagedPartError: If a part is missing; its rows must be labelled again.
    """
    spans = parts.spans(all_spans(job.source))
    for gap in gaps(all_spans(job.source), spans):
        raise DamagedPartError(f"the part of rows {gap.first_row} to {gap.first_row + gap.rows - 1}")
    of_file = {number: list(some) for number, some in groupby(spans, key=attrgetter("file"))}
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
            batches=partial(read_batches, source, file, columns),
            spans=of_file.get(number, []),
            size=sum(block.size for block in file.blocks),
            original=file.path if file.format == job.form == PARQUET else None,
            matching=None if where is None else where.matches,
        )
        for number, file in enumerate(source.files)
    ]
    return Publication(
        path=job.output,
        files=files,
        rows=job.source.rows,
        kind=job.config.task.kind,
        prefix=job.config.output.columns.prefix,
        metadata=_metadata(job, run_id),
        single=job.source.single,
        form=job.form,
        gold=gold,
    )


def _metadata(job: Job, run_id: str) -> dict[bytes, bytes]:
    """Return the entries of each output file's footer that tell whose it is."""
    calibration = json.dumps(asdict(job.calibration)).encode() if job.calibration else b""
    return {
        RUN_METADATA_KEY: run_id.encode(),
        b"pipeline.task": job.task.fingerprint.hex().encode(),
        b"pipeline.model": job.config.model.name.encode(),
        b"pipeline.version": __version__.encode(),
        b"pipeline.rows": str(job.source.rows).encode(),
        **({b"pipeline.calibration": calibration} if calibration else {}),
    }
