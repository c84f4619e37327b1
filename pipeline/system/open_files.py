"""How many connections the process may have open."""

import logging
import resource
from contextlib import suppress

from pipeline.errors import ConfigError

OTHER_FILES = 48
"""Files that a run has open beside its connections: the input, the ledger, parts, libraries, and some to spare."""

log = logging.getLogger(__name__)


def affordable(connections: int, files_each: int = 1) -> int:
    """Return how many of so many connections the limit on open files leaves, raising it as far as may be.

    Args:
        connections: As many as are wanted.
        files_each: Files that a connection takes here: two where this process is at its other end, too.

    Raises:
        ConfigError: If not even one is left.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections * files_each + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    if hard == resource.RLIM_INFINITY or hard > soft:
        with suppress(ValueError, OSError):
            raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    left = min(connections, (soft - OTHER_FILES) // files_each)
    if left < 1:
        raise ConfigError(f"this process may open {soft} files only; allow it more with `ulimit -n 1024`")
    if left < connections:
        log.warning(
            "%d requests at once instead of limits.max_concurrency = %d: this process may open %d files only; "
            "allow it more with `ulimit -n %d`", left, connections, soft, wanted,
        )  # fmt: skip
    return left
