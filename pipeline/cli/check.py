"""`check`: print that there are no problems; those that there are become the command's error."""

import logging

from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.commands import check as command
from pipeline.config import Config
from pipeline.job.options import RunOptions
from pipeline.telemetry.logs import configure


def check(config: Config, previous: Config | None = None) -> int:
    """Check everything that can be checked without sending; *previous* is the config whose labels a run is to carry over."""
    configure(json_lines=is_json_lines(), level=logging.INFO)
    job, remarks = command.check(config, RunOptions(previous=previous))
    rows = job.source.rows
    print_lines(
        [*(f"note: {remark}" for remark in remarks), f"{config.path}: all is well; {rows:,} rows to label"]
    )
    print_result({"status": "ok", "rows": rows})
    return 0
