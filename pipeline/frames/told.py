"""What `classify` tells its caller: errors in the caller's words, and how many rows have no label."""

import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.errors import HeldError, PipelineError
from pipeline.frames.scratch import Scratch
from pipeline.records import NOT_FAILED

MOST_REASONS = 3


@contextmanager
def in_our_words(files: Scratch) -> Iterator[None]:
    """Name what is wrong as the caller has written it: a setting by its name here, and no file of ours."""
    try:
        yield
    except HeldError as error:  # there is no output that could be published
        raise HeldError(
            *error.problems[:-1], "the answers are kept; open the gate and call again to have them"
        ) from None
    except PipelineError as error:
        error.problems = tuple(
            problem.replace(str(files.input), "frame").removeprefix("config: ").removeprefix("task.")
            for problem in error.problems
        )
        error.args = ("\n".join(error.problems),)
        raise


def warn_of_failures(new: pa.Table) -> None:
    """Tell how many rows have no label, and why: a list of labels has no place for that."""
    by_name = {
        name.removesuffix("_status"): name for name in new.column_names if name.endswith("label_status")
    }
    ((label, status),) = by_name.items()
    pairs = zip(new.column(status).to_pylist(), new.column(f"{label}_error").to_pylist(), strict=True)
    reasons = Counter(f"{each}: {error}" for each, error in pairs if each not in NOT_FAILED)
    if reasons:
        shown = "; ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(MOST_REASONS))
        warnings.warn(f"{reasons.total():,} of {new.num_rows:,} rows have no label: {shown}", stacklevel=3)
