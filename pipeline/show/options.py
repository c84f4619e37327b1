"""What the command line adds to the config for one run."""

from datetime import datetime

from pipeline.errors import UsageError
from pipeline.job import RunOptions
from pipeline.records import Status


def run_options(
    limit: int | None, sample: int | None, seed: int | None, retry: str | None, *, overwrite: bool = False
) -> RunOptions:
    """Return what the command line adds to the config.

    Raises:
        UsageError: If it does not fit together.
    """
    if seed is not None and sample is None:
        raise UsageError("--seed: chooses the rows of --sample; give --sample N too, or leave --seed out")
    return RunOptions(limit, sample, seed or 0, statuses(retry), overwrite)


def statuses(text: str | None) -> frozenset[Status]:
    """Return the statuses that `--retry` names.

    Raises:
        UsageError: If there are no such.
    """
    if text is None:
        return frozenset()
    if text == "all":
        return frozenset(Status)
    names = [name.strip() for name in text.split(",")]
    asked = [status for status in Status if status is not Status.EMPTY]
    if Status.EMPTY in names:
        raise UsageError("--retry: rows without text (empty) are never asked; leave that status out")
    unknown = [name for name in names if name not in asked]
    if unknown:
        raise UsageError(f"--retry: there is no status {unknown[0]!r}; there are {', '.join(asked)} and all")
    return frozenset(map(Status, names))


def moment(text: str | None) -> datetime | None:
    """Return the moment that `--date` names, in the local time unless it says another; None for now.

    Raises:
        UsageError: If it names none.
    """
    try:
        return None if text is None else datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise UsageError(
            f"--date: {text!r} is no date; write one such as 2026-01-31 or 2026-01-31T02:00"
        ) from None
