"""`publish` and `assemble`: publish what a gate holds back, what a stopped run has so far, or what slices have; and `schema`."""

import sys
from typing import Annotated

import typer

from pipeline.cli.options import ConfigFile, Date, Metrics, Overrides, Overwrite, RunProvider, load
from pipeline.errors import UsageError


def publish(
    config: ConfigFile,
    anyway: Annotated[bool, typer.Option("--anyway", help="Publish what a gate holds back.")] = False,  # noqa: FBT002
    partial: Annotated[  # noqa: FBT002
        bool,
        typer.Option(
            "--partial",
            help="Write what is answered so far to NAME.partial.SUFFIX; the other rows are pending.",
        ),
    ] = False,
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
) -> int:
    """Publish what a gate holds back, or what a stopped run has. Sends nothing.

    Without --anyway and --partial: if all rows have their answers by now and no gate is closed.
    """
    from pipeline.cli.run.command import run  # noqa: PLC0415
    from pipeline.job.options import RunOptions  # noqa: PLC0415
    from pipeline.telemetry.prometheus import MetricsFile  # noqa: PLC0415

    if anyway and partial:
        raise UsageError("--anyway and --partial: one publishes all rows, the other some; give one of them")
    loaded = load(config, overrides, provider, date)
    options = RunOptions(offline=True, anyway=anyway, partial=partial)
    return run(loaded, options, MetricsFile(None, config), quiet=False, progress=False, show=False)


def assemble(
    config: ConfigFile,
    overwrite: Overwrite = False,  # noqa: FBT002
    overrides: Overrides = None,
    provider: RunProvider = None,
    date: Date = None,
    metrics_file: Metrics = None,
) -> int:
    """Publish what the slices of a job have, once all are finished.

    They are the runs of `run --slice I/N`. Nothing is asked.
    """
    from pipeline.cli.run.command import run  # noqa: PLC0415 - --help must not wait for it
    from pipeline.commands.slices import ensure_finished  # noqa: PLC0415
    from pipeline.job.options import RunOptions  # noqa: PLC0415
    from pipeline.telemetry.prometheus import MetricsFile  # noqa: PLC0415

    metrics = MetricsFile(metrics_file, config)
    with metrics.reporting():
        loaded = load(config, overrides, provider, date)
        metrics.config_loaded(loaded.state.dir, is_whole=loaded.model.provider != "simulate")
        ensure_finished(loaded)
        options = RunOptions(offline=True, overwrite=overwrite)
        return run(loaded, options, metrics, quiet=False, progress=True, show=False)


def schema() -> int:
    """Print the JSON Schema of the config, for editors."""
    import json  # noqa: PLC0415

    from pipeline.config import json_schema  # noqa: PLC0415 - --help must not wait for it

    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
    return 0
