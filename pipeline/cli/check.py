"""`check`: print that there are no problems; those that there are become the command's error."""

from pipeline.cli.console import print_lines, print_result
from pipeline.commands import check as command
from pipeline.config import Config


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    job, remarks = command.check(config)
    rows = job.source.rows
    print_lines(
        [*(f"note: {remark}" for remark in remarks), f"{config.path}: all is well; {rows:,} rows to label"]
    )
    print_result({"status": "ok", "rows": rows})
    return 0
