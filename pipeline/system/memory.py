"""Memory of a process of our own: which allocators it uses, what goes back to the system, when Python looks for cycles."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_ARENA_MAX = -8
"""From glibc's malloc.h."""

POLARS_ALLOCATOR = "_RJEM_MALLOC_CONF"
AT_ONCE = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""When jemalloc gives back what is free; of two settings the later one counts."""

THRESHOLDS = (50_000, 20, 100)
"""New objects between two searches (CPython's default: 700), and how often older ones are searched too."""

_ours = False


def own_process() -> None:
    """Have pyarrow allocate from the system in this process, which is ours; comes before pyarrow is loaded.

    pyarrow's own allocator keeps a heap for each thread that ever read or wrote: a fifth of a run's memory, for no
    speed. In a process that is not ours, such as a notebook, that is for its owner to decide.
    """
    global _ours  # noqa: PLW0603 - a fact about the process
    if "pyarrow" not in sys.modules:
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        _ours = True


def keep_no_free_memory() -> None:
    """Have malloc and polars return free memory at once, in a process of our own; comes before polars is loaded.

    A heap for each thread that ever read, wrote or compressed keeps what that thread needed at most: 25 MB. polars
    keeps what it needed for a while: as much.
    """
    if not _ours:
        return
    _libc("mallopt", M_ARENA_MAX, 1)
    inherited = os.environ.get(POLARS_ALLOCATOR)  # from a process that had loaded polars, which sets it
    os.environ[POLARS_ALLOCATOR] = f"{inherited},{AT_ONCE}" if inherited else AT_ONCE


def give_back() -> None:
    """Return free memory to the system, where the C library is glibc; a millisecond for a run's heap."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    import ctypes  # noqa: PLC0415 - only a run needs it

    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Search for cycles seldom while the block runs, and not at all among what is there already.

    With 100,000 rows in work the default thresholds cost a fifth of a run's CPU time.
    """
    before = gc.get_threshold()
    freezes = not gc.get_freeze_count()  # otherwise somebody else has, and is to thaw it
    gc.set_threshold(*THRESHOLDS)
    if freezes:
        gc.freeze()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()
