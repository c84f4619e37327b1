"""`check`: what is wrong, or that nothing is."""

from pipeline.check import check_job
from pipeline.config import Config
from pipeline.ending import last_line, tell


def check(config: Config) -> int:
    """Check everything that can be checked without sending."""
    rows = check_job(config).source.rows
    tell([f"{config.path}: all is well; {rows:,} rows to label"])
    last_line({"status": "ok", "rows": rows})
    return 0
