"""`ledger stats`, `ledger export`, `ledger prune`: the answers that were paid for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli.console import last_line, tell
from pipeline.config import Config
from pipeline.errors import CannotCreateError, NoInputError
from pipeline.ledger import FILE, opened
from pipeline.ledger.export import export as export_answers
from pipeline.ledger.store import Store

SECONDS_PER_DAY = 86_400


def stats(config: Config) -> int:
    """Print what each run has paid for."""
    with _stored(config) as store:
        totals = store.totals()
    for run_totals in totals:
        cost = "no price known" if run_totals.cost_usd is None else f"${run_totals.cost_usd:.4f}"
        tokens = f"{run_totals.prompt_tokens:,} prompt and {run_totals.completion_tokens:,} completion tokens"
        tell([f"{run_totals.run}: {run_totals.answers:,} answers, {tokens}, {cost}"])
    size = (config.state.dir / FILE).stat().st_size
    costs = [each.cost_usd for each in totals if each.cost_usd is not None]
    facts = {"answers": sum(each.answers for each in totals), "runs": len(totals), "bytes": size}
    last_line({**facts, "cost_usd": sum(costs) if costs else None})
    return 0


def export(config: Config, to: Path) -> int:
    """Write the ledger's answers to a Parquet file."""
    with _stored(config) as store:
        try:
            count = export_answers(store, to)
        except OSError as error:
            raise CannotCreateError(f"{to}: cannot be written: {error}; choose another file") from error
    last_line({"answers": count, "file": str(to)})
    return 0


def prune(config: Config, days: float) -> int:
    """Delete old answers."""
    with _stored(config) as store:
        count = store.prune(time.time() - days * SECONDS_PER_DAY)
    tell([f"{count:,} answers deleted"])
    last_line({"deleted": count})
    return 0


@contextmanager
def _stored(config: Config) -> Iterator[Store]:
    with opened(config.state.dir) as store:
        if store is None:
            raise NoInputError(
                f"{config.state.dir / FILE}: there is no ledger yet; it comes with the first run"
            )
        yield store
