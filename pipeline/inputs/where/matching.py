"""The rows of an input that match a condition: counted once, then read as if there were no others."""

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from pipeline.errors import InputDataError
from pipeline.inputs.intake.copies import bring_in
from pipeline.inputs.read import read_batches
from pipeline.inputs.source import InputFile, Source, fingerprint
from pipeline.inputs.where.expression import Where, parse
from pipeline.system import atomic

log = logging.getLogger(__name__)


def matching_rows(whole: Source, condition: str, kept: Path, copies: Path) -> Source:
    """Return the rows of *whole* that match *condition* as an input of their own; no rows stay in memory.

    Args:
        whole: The surveyed input.
        condition: The SQL expression.
        kept: A JSON file that saves the pass over an input that has not changed since.
        copies: The folder for copies of the input that have gone and must be read.

    Raises:
        ConfigError: If the condition does not fit the input.
        InputDataError: If it cannot be computed for a row, or a file can no longer be read as the survey found it.
    """
    where = parse(condition, whole.schema)
    identity = fingerprint(whole.fingerprint, where.identity)
    counts = _load(kept, identity)
    if counts is None:
        whole = bring_in(whole, copies)
        counts = [_count(whole, file, where) for file in whole.files]
        _save(kept, identity, counts)
    files = [_matching(file, some) for file, some in zip(whole.files, counts, strict=True)]
    firsts = accumulate((file.rows for file in files), initial=0)
    rows = sum(file.rows for file in files)
    log.info("input.where: %s of %s rows match", f"{rows:,}", f"{whole.rows:,}")
    return replace(
        whole,
        files=tuple(replace(file, first_row=first) for file, first in zip(files, firsts, strict=False)),
        rows=rows,
        fingerprint=identity,
        where=where,
    )


def _count(source: Source, file: InputFile, where: Where) -> list[int]:
    """Count the rows of each block of *file* that match."""
    counts = [0] * len(file.blocks)
    row = number = 0
    try:
        for batch in read_batches(source, file, where.columns):
            while row >= file.blocks[number].stop:
                number += 1
            counts[number] += where.matches(batch).true_count
            row += batch.num_rows
    except InputDataError as error:
        raise InputDataError(f"{file.origin}: {error}") from error
    return counts


def _matching(file: InputFile, counts: Sequence[int]) -> InputFile:
    """Return *file* as if its blocks held only so many rows each."""
    firsts = accumulate(counts, initial=0)
    blocks = tuple(
        replace(block, first=first, rows=count)
        for block, first, count in zip(file.blocks, firsts, counts, strict=False)
        if count
    )
    return replace(file, blocks=blocks, rows=sum(counts), all_blocks=file.blocks)


def _load(kept: Path, identity: str) -> list[list[int]] | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(kept.read_bytes())
        if found["identity"] == identity:
            counts: list[list[int]] = found["counts"]
            return counts
    return None


def _save(kept: Path, identity: str, counts: list[list[int]]) -> None:
    with suppress(OSError):
        atomic.make_private(kept.parent)
        atomic.write(kept, json.dumps({"identity": identity, "counts": counts}).encode())
