"""`ledger stats`, `ledger export`, `ledger prune`: look after the answers that were paid for."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.cli.console import print_lines, print_result
from pipeline.config import Config
from pipeline.errors import CannotCreateError, NoInputError
from pipeline.ledger import FILE, opened
from pipeline.ledger.export import export as export_answers
from pipeline.ledger.store import Store

SECONDS_PER_DAY = 86_400


def stats(config: Config) -> int:
    """Print what each run has paid for."""
    with _open_store(config) as store:
        totals = store.totals()
    for run_totals in totals:
        cost = "no price known" if run_totals.cost_usd is None else f"${run_totals.cost_usd:.4f}"
        tokens = f"{run_totals.prompt_tokens:,} prompt and {run_totals.completion_tokens:,} completion tokens"
        print_lines([f"{run_totals.run}: {run_totals.answers:,} answers, {tokens}, {cost}"])
    size = (config.state.dir / FILE).stat().st_size
    costs = [each.cost_usd for each in totals if each.cost_usd is not None]
    facts = {"answers": sum(each.answers for each in totals), "runs": len(totals), "bytes": size}
    print_result({**facts, "cost_usd": sum(costs) if costs else None})
    return 0


def export(config: Config, to: Path) -> int:
    """Export the ledger's answers to a Parquet file."""
    with _open_store(config) as store:
        try:
            count = export_answers(store, to)
        except OSError as error:
            raise CannotCreateError(f"{to}: cannot be written: {error}; choose another file") from error
    print_result({"answers": count, "file": str(to)})
    return 0


def prune(config: Config, days: float) -> int:
    """Delete answers that are older than *days*."""
    with _open_store(config) as store:
        count = store.prune(time.time() - days * SECONDS_PER_DAY)
    print_lines([f"{count:,} answers deleted"])
    print_result({"deleted": count})
    return 0


@contextmanager
def _open_store(config: Config) -> Iterator[Store]:
    with opened(config.state.dir) as store:
        if store is None:
            raise NoInputError(
                f"{config.state.dir / FILE}: there is no ledger yet; it comes with the first run"
            )
        yield store
