"""The command line: the commands and their options. Imports happen in the commands, so that `--help` is quick."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline._version import __version__
from pipeline.cli import calibrate, compare, evaluate, init, ledger, publish, review
from pipeline.cli.exit import exit_status
from pipeline.cli.options import (
    Commands,
    ConfigFile,
    Date,
    DryRun,
    Limit,
    LinesAs,
    LogFormat,
    Metrics,
    Overrides,
    Overwrite,
    Partial,
    ProviderName,
    Quiet,
    Retry,
    Row,
    RunProvider,
    Sample,
    Seed,
    Show,
    ShowProgress,
    load,
    metrics_of,
    run_options,
)
from pipeline.cli.run.options import Address, EngineName, Previous, SliceName, Wait, Workers
from pipeline.cli.simulate.command import simulate
from pipeline.system.interruption import deferred
from pipeline.system.memory import claim_process

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.job.options import RunOptions

app = Commands(
    name="pipeline",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="Exit statuses: 0 done; 1 too many rows failed; 2 usage; 65 bad input data; 66 no input; 69 provider away; "
    "70 bug; 73 cannot create output; 74 disk; 75 interrupted, locked or over a limit (run again to continue); "
    "76 held back by a gate; 77 key or quota refused; 78 bad config.",
)


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"pipeline {__version__}\n")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version, and end."),
    ] = False,
) -> None:
    """Label every row of a table by asking a small language model: paced, resumable, never paid twice."""
    del version


app.add_typer(ledger.ledger_app, name="ledger")
app.add_typer(ledger.batch_app, name="batch")
for command in (
    init.init,
    publish.schema,
    evaluate.evaluate,
    calibrate.calibrate,
    review.review,
    compare.compare,
    compare.diff,
    review.report,
    publish.publish,
    publish.assemble,
    simulate,
):
    app.command()(command)


@app.command()
def run(
    config: ConfigFile,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    retry: Retry = None,
    part: SliceName = None,
    workers: Workers = 1,
    engine: EngineName = None,
    address: Address = None,
    wait: Wait = True,
    previous: Previous = None,
    dry_run: DryRun = False,
    overwrite: Overwrite = False,
    partial: Partial = False,
    quiet: Quiet = False,
    progress: ShowProgress = True,
    show: Show = False,
    log_format: LinesAs = LogFormat.TEXT,
    metrics_file: Metrics = None,
) -> int:
    """Label the table. Run again to continue; a finished job ends at once and sends nothing."""
    del log_format  # `console.choose_form` has read it
    with deferred():  # what takes long, before the config: later the health check is told of a signal
        from pipeline.cli.run.command import run
        from pipeline.job.options import is_whole

    of_part = bool(dry_run or limit or sample or part)
    metrics = metrics_of(metrics_file, config, overrides, provider, of_part=of_part)
    with metrics.reporting():
        before = None if previous is None else load(previous, None, provider, date)
        who = limit, sample, seed, retry, part, workers, engine, address, before
        options = run_options(*who, overwrite=overwrite, partial=partial, wait=wait)
        loaded = load(config, overrides, provider, date)
        metrics.config_loaded(loaded.state.dir, is_whole=is_whole(options, loaded.model.provider))
        if dry_run:
            return _planned(loaded, options, quiet=quiet)
        return run(loaded, options, metrics, quiet=quiet, progress=progress, show=show)


@app.command()
def check(
    config: ConfigFile,
    previous: Previous = None,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
) -> int:
    """Report all that is wrong with config, key, input and output. Sends nothing."""
    from pipeline.cli.check import check

    before = None if previous is None else load(previous, None, provider, date)
    return check(load(config, overrides, provider, date), before)


@app.command()
def plan(
    config: ConfigFile,
    overrides: Overrides = None,
    provider: ProviderName = None,
    date: Date = None,
    limit: Limit = None,
    sample: Sample = None,
    seed: Seed = None,
    retry: Retry = None,
) -> int:
    """Say what a run would send, and what it would cost and take. Sends nothing."""
    options = run_options(limit, sample, seed, retry)
    return _planned(load(config, overrides, provider, date), options, quiet=False)


def _planned(config: "Config", options: "RunOptions", *, quiet: bool) -> int:
    if options.previous is not None:
        return compare.print_diff(options.previous, config)
    from pipeline.cli.plan import plan

    return plan(config, options, quiet=quiet)


@app.command()
def probe(
    config: ConfigFile, overrides: Overrides = None, provider: ProviderName = None, date: Date = None
) -> int:
    """Find out what the endpoint supports, by a few tiny questions.

    They cost a fraction of a cent.
    """
    from pipeline.cli.probe import probe

    return probe(load(config, overrides, provider, date))


@app.command()
def status(
    config: ConfigFile, overrides: Overrides = None, provider: RunProvider = None, date: Date = None
) -> int:
    """Say where the runs of a config stand, the latest one first.

    Sends nothing.
    """
    from pipeline.cli.status import status

    return status(load(config, overrides, provider, date))


@app.command()
def explain(
    config: ConfigFile,
    row: Row,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Print the exact prompt, answer, attempts and cost of one row. Sends nothing."""
    from pipeline.cli.explain import explain

    return explain(load(config, overrides, provider, date), row)


# As they are needed: to begin with, to run, to look at what came out, and what is needed now and then.
ORDER = [
    "init",
    "check",
    "plan",
    "probe",
    "run",
    "status",
    "explain",
    "evaluate",
    "review",
    "compare",
    "diff",
    "calibrate",
    "report",
    "publish",
    "assemble",
    "simulate",
    "schema",
]
app.registered_commands.sort(key=lambda each: ORDER.index(getattr(each.callback, "__name__", "")))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that *argv* names, and return its exit status."""
    claim_process()
    words = sys.argv[1:] if argv is None else list(argv)
    return exit_status(lambda: app(args=words, standalone_mode=False), words)
