"""The limit on open files: how many connections it leaves room for."""

import logging
import resource
from contextlib import suppress

from pipeline.errors import ConfigError

OTHER_FILES = 48
"""Files that a run has open besides its connections: the input, the ledger, parts, libraries, and some to spare."""

log = logging.getLogger(__name__)


def affordable(connections: int, files_each: int = 1) -> int:
    """Return how many of *connections* the limit on open files allows, after raising the limit if possible.

    Args:
        connections: How many are wanted.
        files_each: Files that a connection takes in this process: two if the server is in it, too.

    Raises:
        ConfigError: If it allows none.
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
    allowed = min(connections, (soft - OTHER_FILES) // files_each)
    if allowed < 1:
        raise ConfigError(f"this process may open {soft} files only; allow it more with `ulimit -n 1024`")
    if allowed < connections:
        log.warning(
            "%d requests at once instead of limits.max_concurrency = %d: this process may open %d files only; "
            "allow it more with `ulimit -n %d`", allowed, connections, soft, wanted,
        )  # fmt: skip
    return allowed
