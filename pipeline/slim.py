"""Libraries as our own process needs them: nothing loaded on the side, no memory kept that nobody uses."""

import os
import sys
from importlib import import_module


def lean_pyarrow() -> None:
    """Load pyarrow without numpy, which would take longer than pyarrow itself, and with the system's allocator.

    pyarrow's own keeps a heap for each thread that ever read or wrote: a fifth of a run's memory, for no speed.
    pyarrow offers numpy's arrays wherever numpy is installed (the embedded model brings it); no command uses
    them. Only for a process of our own: in somebody's notebook pyarrow must know numpy. numpy itself can be loaded
    afterwards as always.
    """
    if "pyarrow" in sys.modules or "numpy" in sys.modules:
        return
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    sys.modules["numpy"] = None  # type: ignore[assignment]  # how Python spells "there is no such module"
    try:
        import_module("pyarrow")
    finally:
        del sys.modules["numpy"]
