"""`assemble`: publish what the slices of a job have been answered. Sends nothing."""

from typing import Annotated

import typer

from pipeline.cli.options import ConfigFile, Date, Metrics, Overrides, RunProvider, load


def assemble(
    config: ConfigFile,
    overwrite: Annotated[  # noqa: FBT002
        bool, typer.Option(help="Replace what is at output.path even if another program wrote it.")
    ] = False,
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
    from pipeline.job.job import RunOptions  # noqa: PLC0415
    from pipeline.telemetry.prometheus import MetricsFile  # noqa: PLC0415

    metrics = MetricsFile(metrics_file, config)
    with metrics.reporting():
        loaded = load(config, overrides, provider, date)
        metrics.config_loaded(loaded.state.dir, is_whole=loaded.model.provider != "simulate")
        ensure_finished(loaded)
        options = RunOptions(offline=True, overwrite=overwrite)
        return run(loaded, options, metrics, quiet=False, progress=True, show=False)
