"""Where the state of a shared quota is, by its name."""

from collections.abc import Callable

from pipeline.llm.pacing.shared.file import FileState, shared_file
from pipeline.llm.pacing.shared.quota import State
from pipeline.llm.pacing.shared.redis import RedisState, is_redis

ELSEWHERE: dict[str, Callable[[str], State]] = {}
"""Who else knows states, by the scheme of their names: an engine whose workers share a quota by its own means."""


def state_named(name: str) -> State:
    """Return the state of the quota called *name*: a file on this machine unless that is a URL.

    Raises:
        PipelineError: If it cannot be used.
    """
    scheme, is_url, _ = name.partition("://")
    if is_url and scheme in ELSEWHERE:
        return ELSEWHERE[scheme](name)
    return RedisState(name) if is_redis(name) else FileState(shared_file(name))
