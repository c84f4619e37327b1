"""`check`: what is wrong, or that nothing is."""

from pipeline.cli.console import last_line, tell
from pipeline.commands.check import check_job
from pipeline.config import Config


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    rows = check_job(config).source.rows
    tell([f"{config.path}: all is well; {rows:,} rows to label"])
    last_line({"status": "ok", "rows": rows})
    return 0
