"""Memory of the process: its allocators, when free memory goes back to the system, how often cycles are collected."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

M_ARENA_MAX = -8
"""From glibc's malloc.h."""

POLARS_ALLOCATOR = "_RJEM_MALLOC_CONF"
NO_DECAY = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""Makes jemalloc return free memory at once; of repeated options the last one counts."""

THRESHOLDS = (50_000, 20, 100)
"""Allocations between two collections (CPython's default: 700), and how often older generations are collected too."""

_is_own_process = False


def claim_process() -> None:
    """Make pyarrow use the system allocator; call it before importing pyarrow, in a process that only runs us.

    pyarrow's own allocator keeps a heap for each thread that ever read or wrote: a fifth of a run's memory, and no
    faster. In a process that is not ours, such as a notebook, the choice is not ours either; nor whether pandas is loaded.
    """
    global _is_own_process  # noqa: PLW0603 - a fact about the process
    if "pyarrow" not in sys.modules:
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
        _is_own_process = True
        if "pandas" not in sys.modules:
            sys.meta_path.insert(0, _WithoutPandas())


class _WithoutPandas:
    """Lets pandas count as not installed.

    pyarrow imports it, which takes half a second, as soon as it is given a list, only to see that the list is no Series.
    """

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        """Refuse to find pandas."""
        del path, target
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not used by this process", name=fullname)


def limit_free_memory() -> None:
    """Make malloc and polars return free memory at once, in a process of our own; call it before importing polars.

    malloc would keep a heap for each thread that ever read, wrote or compressed, as large as that thread's peak:
    25 MB. polars would keep its own peak for a while: as much again.
    """
    if not _is_own_process:
        return
    _libc("mallopt", M_ARENA_MAX, 1)
    # polars sets it, so a parent process that has loaded polars passes it on.
    inherited = os.environ.get(POLARS_ALLOCATOR)
    os.environ[POLARS_ALLOCATOR] = f"{inherited},{NO_DECAY}" if inherited else NO_DECAY


def trim_heap() -> None:
    """Return free memory to the system, if the C library is glibc; takes a millisecond for a run's heap."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    import ctypes  # noqa: PLC0415 - only a run needs it

    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Raise the collector's thresholds and freeze existing objects while the block runs.

    With 100,000 rows in progress the default thresholds cost a fifth of a run's CPU time.
    """
    before = gc.get_threshold()
    # A process that has frozen objects itself will unfreeze them itself.
    freezes = not gc.get_freeze_count()
    gc.set_threshold(*THRESHOLDS)
    if freezes:
        gc.freeze()
    try:
        yield
    finally:
        gc.set_threshold(*before)
        if freezes:
            gc.unfreeze()
