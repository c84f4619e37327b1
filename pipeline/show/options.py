"""What the command line adds to the config for one run."""

from datetime import datetime

from pipeline.config.environment import moment_of
from pipeline.errors import UsageError
from pipeline.job import RunOptions, statuses


def run_options(
    limit: int | None, sample: int | None, seed: int | None, retry: str | None, *, overwrite: bool = False
) -> RunOptions:
    """Return what the command line adds to the config.

    Raises:
        UsageError: If it does not fit together.
    """
    if seed is not None and sample is None:
        raise UsageError("--seed: chooses the rows of --sample; give --sample N too, or leave --seed out")
    names = [] if retry is None else [name.strip() for name in retry.split(",")]
    try:
        return RunOptions(limit, sample, seed or 0, statuses(names), overwrite)
    except UsageError as error:
        raise UsageError(f"--retry: {error}") from None


def moment(text: str | None) -> datetime | None:
    """Return the moment that `--date` names; None for now.

    Raises:
        UsageError: If it names none.
    """
    try:
        return None if text is None else moment_of(text)
    except UsageError as error:
        raise UsageError(f"--date: {error}") from None
