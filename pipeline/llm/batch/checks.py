"""What batches do not go together with."""

from pathlib import Path

from pipeline.config import Config
from pipeline.config.slices import Slice
from pipeline.errors import UsageError
from pipeline.llm.batch.book import is_under_way


def ensure_no_batch(state: Path, doing: str) -> None:
    """Check that no batch is under way in the state directory *state*, which *doing* would know nothing of.

    Raises:
        UsageError: If there is one.
    """
    if is_under_way(state):
        raise UsageError(
            f"{state}: a batch is under way, whose rows {doing} would ask again; fetch it with `run CONFIG` first, or end it "
            "with `batch cancel CONFIG`"
        )


def ensure_batches_fit(config: Config, part: Slice | None, *, wait: bool) -> None:
    """Check that a run that hands batches in can: one process, whose state is on this machine, at an endpoint that stays.

    Raises:
        UsageError: If not.
    """
    if part is not None:
        ensure_no_batch(config.state.dir, "--slice")
    if config.model.lane != "batch":
        return
    if part is not None:
        raise UsageError(
            "model.lane: batch: is worked with by one process; leave --slice and --engine out, or write live"
        )
    if config.model.rows_per_request != 1:
        raise UsageError(
            "model.lane: batch: has one row in each request; leave model.rows_per_request out, or write live"
        )
    if config.student is not None:
        raise UsageError(
            "model.lane: batch: would ask about all rows that the student may answer; leave one of them out"
        )
    if config.state.store is not None and config.model.provider != "simulate":
        raise UsageError(
            f"state.dir: {config.state.store}: model.lane: batch needs a folder on this machine, which must know of a batch "
            "before it is handed in"
        )
    if config.model.provider == "simulate" and config.model.base_url is None and not wait:
        raise UsageError(
            "--no-wait: the simulated endpoint ends with the run, and its batches with it; start one with `pipeline simulate` "
            "and set model.base_url to it"
        )
