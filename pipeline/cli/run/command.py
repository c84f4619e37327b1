"""`run`: run the job, log how it went, and print its summary."""

import logging
import os
import sys

from pipeline import api
from pipeline.cli.console import is_json_lines, print_failure, print_lines, print_result
from pipeline.cli.run.closing import TOO_MANY, closing_lines
from pipeline.config import Config
from pipeline.errors import WaitingError, as_pipeline_error
from pipeline.job.options import RunOptions
from pipeline.system.places import place_of
from pipeline.telemetry.colours import is_smart
from pipeline.telemetry.logfile import log_file
from pipeline.telemetry.logs import configure, show_from_info_on
from pipeline.telemetry.progress import Log, Tee, Terminal
from pipeline.telemetry.prometheus import MetricsFile


def run(
    config: Config,
    options: RunOptions,
    metrics: MetricsFile,
    *,
    quiet: bool,
    progress: bool,
    show: bool,
) -> int:
    """Run the job, and print its summary and its result."""
    bar = progress and not quiet and not is_json_lines() and is_smart(sys.stderr)
    configure(json_lines=is_json_lines(), level=logging.WARNING if quiet or bar else logging.INFO)
    if bar:  # it begins later
        show_from_info_on("pipeline.inputs")
    with log_file(config.state.dir / "log.jsonl", job=config.path.stem, pid=os.getpid()) as history:
        history.info("begins: %s", config.output.path)
        try:
            result = api.run(
                config, options, watch=Tee(Terminal(), Log()) if bar else Log(), handle_signals=True
            )
        except WaitingError as waiting:  # which is no problem, so that cron mails nothing
            return _waits(waiting, history, metrics, quiet=quiet)
        except BaseException as error:
            failure = as_pipeline_error(error)
            facts, notes = {"exit_status": failure.exit_status}, getattr(failure, "__notes__", ())
            history.error("ends: %s", "; ".join([*failure.problems, *notes]), extra={"facts": facts})
            raise
        facts = {**result.as_dict(), "exit_status": result.exit_status}
        if result.exit_status:
            history.error("ends: %s", TOO_MANY.format(config.limits.max_failed), extra={"facts": facts})
        else:
            history.info("ends: %s", result.status, extra={"facts": facts})
    metrics.write(result.exit_status, result)
    if show:
        from pipeline.cli.run.show import row_lines  # noqa: PLC0415 - imports polars

        print_lines(row_lines(place_of(result.output), config))
    if not quiet or result.exit_status:
        print_lines(closing_lines(result, config))
    print_result(result.as_dict())
    return result.exit_status


def _waits(waiting: WaitingError, history: logging.Logger, metrics: MetricsFile, *, quiet: bool) -> int:
    """Say what a run waits for that ends meanwhile, and return its exit status."""
    told = [*waiting.problems, *getattr(waiting, "__notes__", ())]
    history.info("waits: %s", "; ".join(told), extra={"facts": {"exit_status": waiting.exit_status}})
    print_lines([] if quiet else told)
    print_failure(waiting)
    metrics.write(waiting.exit_status)
    return waiting.exit_status
