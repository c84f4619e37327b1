"""`ledger stats`, `ledger export`, `ledger prune`: look after the answers that were paid for."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import Config
from pipeline.config.slices import slices_below
from pipeline.errors import CannotCreateError, LockedError, NoInputError, UsageError
from pipeline.job.state import in_store, look_at_state, running
from pipeline.ledger import FILE, opened
from pipeline.ledger.export import export as export_answers
from pipeline.ledger.export import is_export
from pipeline.ledger.prune import Prunable
from pipeline.ledger.store import RunTotals, Store


@dataclass(frozen=True, slots=True)
class Stats:
    """What a ledger holds.

    Attributes:
        runs: What each run has paid for.
        bytes: Size of the file.
    """

    runs: Sequence[RunTotals]
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the sums over all runs; the cost is None if no price is known."""
        costs = [run.cost_usd for run in self.runs if run.cost_usd is not None]
        return {
            "answers": sum(run.answers for run in self.runs),
            "runs": len(self.runs),
            "bytes": self.bytes,
            "cost_usd": sum(costs) if costs else None,
        }


def stats(config: Config) -> Stats:
    """Return what each run has paid for.

    Raises:
        NoInputError: If there is no ledger yet.
    """
    with _open_store(config) as store:
        runs = store.totals()
    folders = slices_below(config.state.dir).values() or [config.state.dir]
    return Stats(runs, sum(file.stat().st_size for folder in folders for file in folder.glob(FILE)))


def export(config: Config, to: Path, *, overwrite: bool = False) -> int:
    """Export the newest answer of every key to a Parquet file, and return how many there are.

    Args:
        config: The config of the job.
        to: The file; an earlier export is replaced.
        overwrite: Whether to replace any other file, too.

    Raises:
        NoInputError: If there is no ledger yet.
        CannotCreateError: If the file cannot be written, or is there already and no export.
    """
    with _open_store(config) as store:
        try:
            real = to.resolve()  # what a link leads to is replaced, as with the output
            _ensure_replaceable(real, to, overwrite=overwrite)
            return export_answers(store, real)
        except OSError as error:
            raise CannotCreateError(f"{to}: cannot be written: {error}; choose another file") from error


def prunable(config: Config, before: float) -> Prunable:
    """Return what `prune` would delete.

    Raises:
        NoInputError: If there is no ledger yet.
    """
    with _open_store(config) as store:
        return store.prunable(before)


def prune(config: Config, before: float) -> int:
    """Delete answers that arrived before *before* (Unix time), and return how many there were.

    Raises:
        NoInputError: If there is no ledger yet.
        LockedError: If a run uses it.
        UsageError: If it is in an object store.
    """
    if in_store(config):
        raise UsageError(
            f"{config.state.store}: is in an object store; `prune` deletes answers from a ledger in a local folder only"
        )
    if users := running(config.state.dir):
        raise LockedError(f"{config.state.dir}: in use by {', '.join(users)}; wait for it, or end it")
    with _open_store(config) as store:
        count = store.prune(before)
        if not running(config.state.dir):  # one that has begun meanwhile must not wait for so long
            store.give_space_back()
    return count


def _ensure_replaceable(real: Path, to: Path, *, overwrite: bool) -> None:
    if not real.exists():
        return
    if not real.is_file():
        raise CannotCreateError(f"{to}: is there already and is no file; choose another name")
    if not overwrite and not is_export(real):
        raise CannotCreateError(
            f"{to}: is there already and is no export of a ledger; move it away or use --overwrite"
        )


@contextmanager
def _open_store(config: Config) -> Iterator[Store]:
    look_at_state(config)
    with opened(config.state.dir) as store:
        if store is None:
            raise NoInputError(
                f"{config.state.dir / FILE}: there is no ledger yet; it comes with the first run"
            )
        yield store
