"""What is said of a run that ends early: what it waits for, and what stays."""

from collections.abc import Sequence
from pathlib import Path

from pipeline.config.slices import count_of, slice_of, slices_below
from pipeline.errors import InterruptedRunError
from pipeline.figures import usd
from pipeline.job.state import named
from pipeline.telemetry.pace import Progress


def waits(sending: int, seconds: float, signal: str | None) -> str:
    """Return what a stop waits for: *sending* requests in flight, for at most *seconds*, after a *signal* or not."""
    if not sending or not seconds:
        return "nothing is in flight"
    requests = f"{sending:,} request{'s' if sending != 1 else ''} in flight, up to {seconds:g} s"
    again = {None: "", "SIGINT": "; Ctrl-C again to stop now"}.get(signal, "; a second signal stops now")
    return requests + again


def unanswered(keys: Sequence[bytes], state: Path) -> InterruptedRunError:
    """Return the error of a run that sends nothing and misses the answers of *keys* in the state directory *state*."""
    slices = count_of(slices_below(state))
    if not slices:
        return InterruptedRunError(
            "not all rows are answered, and `publish` sends nothing; use `run` first, or --partial"
        )
    missing = named({slice_of(key, slices) for key in keys}, slices)
    return InterruptedRunError(f"not all rows are answered: run {missing} again, then `assemble`")


def kept(progress: Progress, spent_usd: float | None, *, signalled: bool) -> str | None:
    """Return what of a run that ends early stays, and how to go on; None if there is nothing to say."""
    if not progress.done:
        return "run the same command to continue" if signalled else None
    paid = "" if spent_usd is None else f" ({usd(spent_usd)})"
    done = f"{progress.done:,} of {progress.rows:,} rows are answered and kept{paid}"
    return f"{done}; run the same command to continue"
