"""Libraries as our own process needs them: nothing loaded on the side, no memory kept that nobody uses."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

M_ARENA_MAX = -8
"""From glibc's malloc.h."""

POLARS_ALLOCATOR = "_RJEM_MALLOC_CONF"
AT_ONCE = "dirty_decay_ms:0,muzzy_decay_ms:0"
"""When jemalloc gives back what is free; of two settings the later one counts."""

_lean = False


def lean_pyarrow() -> None:
    """Load pyarrow without numpy, which would take longer than pyarrow itself, and with the system's allocator.

    pyarrow's own keeps a heap for each thread that ever read or wrote: a fifth of a run's memory, for no speed.
    pyarrow offers numpy's arrays wherever numpy is installed (the embedded model brings it); no command uses
    them. Only for a process of our own: in somebody's notebook pyarrow must know numpy. numpy itself can be loaded
    afterwards as always.
    """
    global _lean  # noqa: PLW0603 - a fact about the process
    if "pyarrow" in sys.modules or "numpy" in sys.modules:
        return
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with _without_numpy():
        import_module("pyarrow")
    _lean = True


def lean_run() -> None:
    """Load what a run needs more of pyarrow without numpy, too, and keep no memory that is free.

    Loading numpy would take 0.1 s and 20 MB. A heap for each thread that ever read, wrote or compressed keeps what that
    thread needed at most: 25 MB. polars keeps what it needed for a while: as much. Comes before the modules that load
    pyarrow.compute and polars. Does nothing where pyarrow was not loaded by `lean_pyarrow`.
    """
    if not _lean:
        return
    if "numpy" not in sys.modules:
        with _without_numpy():
            import_module("pyarrow.compute")
    _libc("mallopt", M_ARENA_MAX, 1)
    inherited = os.environ.get(POLARS_ALLOCATOR)  # from a process that had loaded polars, which sets it
    os.environ[POLARS_ALLOCATOR] = f"{inherited},{AT_ONCE}" if inherited else AT_ONCE


def give_back() -> None:
    """Give memory that is free to the system, where the C library is glibc; a millisecond for a run's heap."""
    _libc("malloc_trim", 0)


def _libc(name: str, *arguments: int) -> None:
    import ctypes  # noqa: PLC0415 - only a run needs it

    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*arguments)


@contextmanager
def _without_numpy() -> Iterator[None]:
    sys.modules["numpy"] = None  # type: ignore[assignment]  # how Python spells "there is no such module"
    try:
        yield
    finally:
        del sys.modules["numpy"]
