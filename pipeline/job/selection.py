"""The rows that `--limit` or `--sample` select, in a file of their own: the job reads it like any other table.

A copy can be made again from the input. It is kept so that running again need not read the whole table again, and so
that a run that was stopped finds the very file it was reading.
"""

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.config import InputSettings
from pipeline.errors import CannotCreateError
from pipeline.inputs.intake.copies import bring_in
from pipeline.inputs.source import Source, fingerprint
from pipeline.inputs.survey import survey
from pipeline.job.job import RunOptions
from pipeline.system.atomic import make_private

KEPT = 5
"""How many selections of a state directory keep their copy: those that were used last are likely to be run again."""

COPY = re.compile(r"(?:limit-\d+|sample-\d+--?\d+)-[0-9a-f]{12}\.parquet")


def select_rows(
    whole: Source,
    options: RunOptions,
    settings: InputSettings,
    kept: Sequence[str],
    used: Sequence[str],
    folder: Path,
) -> Source:
    """Copy the columns *kept* of the selected rows of *whole* to a file in *folder*, and return it as the input.

    Of *kept*, the columns *used* must have a text.

    Raises:
        CannotCreateError: If the folder cannot be written.
    """
    from pipeline.inputs.subset import cut_rows, sample_rows  # noqa: PLC0415 - imports pyarrow.compute: 50 ms

    path = folder / f"{options.selection}-{whole.fingerprint[:12]}.parquet"
    try:
        make_private(folder)
        os.utime(folder)  # it is the one that was used last
    except OSError as error:
        raise CannotCreateError(f"{folder}: cannot be written: {error}; check state.dir") from error
    if not path.exists():
        if options.sample is not None:
            rows = sample_rows(whole.rows, options.sample, options.seed)
        else:
            rows = range(min(options.limit or 0, whole.rows))
        # A copy of the whole input that has gone is only needed now.
        with TemporaryDirectory(prefix=".input-", dir=folder) as spare:
            cut_rows(bring_in(whole, Path(spare)), rows, path, kept)
    source = survey(settings.model_copy(update={"path": str(path), "version": None}), used, copies=folder)
    # What the rows are depends on the input and not on when they were copied: a copy that was removed changes nothing.
    identity = fingerprint(whole.fingerprint, options.selection)
    return replace(source, fingerprint=identity)


def remove_old_copies(source: Source, folder: Path) -> None:
    """Remove the copies in *folder* of earlier inputs, and those of selections that were not used for long.

    Call it with the lock of *folder* held, whose copy is *source*.
    """
    used = {file.path for file in source.files}
    others = sorted((each for each in folder.parent.iterdir() if each != folder), key=_used_at, reverse=True)
    with_copies = [each for each in others if any(_copies(each))]
    old = [path for each in with_copies[KEPT - 1 :] for path in _copies(each)]
    for path in [*old, *(path for path in _copies(folder) if path not in used)]:
        path.unlink(missing_ok=True)


def _copies(folder: Path) -> list[Path]:
    with suppress(OSError):
        return [path for path in folder.iterdir() if COPY.fullmatch(path.name)]
    return []


def _used_at(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime
    return 0.0
