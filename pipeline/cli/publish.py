"""`publish`: publish what a gate holds back, or what a run that was stopped has so far. Sends nothing."""

from typing import Annotated

import typer

from pipeline.cli.options import ConfigFile, Date, Overrides, RunProvider, load
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
    from pipeline.job.job import RunOptions  # noqa: PLC0415
    from pipeline.telemetry.prometheus import MetricsFile  # noqa: PLC0415

    if anyway and partial:
        raise UsageError("--anyway and --partial: one publishes all rows, the other some; give one of them")
    loaded = load(config, overrides, provider, date)
    options = RunOptions(offline=True, anyway=anyway, partial=partial)
    return run(loaded, options, MetricsFile(None, config), quiet=False, progress=False, show=False)
