"""`check`: print that there are no problems; those that there are become the command's error."""

import logging

from pipeline.cli.console import is_json_lines, print_lines, print_result
from pipeline.commands import check as command
from pipeline.config import Config
from pipeline.telemetry.logs import configure


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    configure(json_lines=is_json_lines(), level=logging.INFO)
    job, remarks = command.check(config)
    rows = job.source.rows
    print_lines(
        [*(f"note: {remark}" for remark in remarks), f"{config.path}: all is well; {rows:,} rows to label"]
    )
    print_result({"status": "ok", "rows": rows})
    return 0
