"""What the libraries would load on the side, although no command needs it."""

import sys
from importlib import import_module


def pyarrow_without_numpy() -> None:
    """Load pyarrow, and keep it from loading numpy, which would take longer than pyarrow itself.

    pyarrow offers numpy's arrays wherever numpy is installed (the embedded model brings it); no command uses
    them. Only for a process of our own: in somebody's notebook pyarrow must know numpy. numpy itself can be loaded
    afterwards as always.
    """
    if "pyarrow" in sys.modules or "numpy" in sys.modules:
        return
    sys.modules["numpy"] = None  # type: ignore[assignment]  # how Python spells "there is no such module"
    try:
        import_module("pyarrow")
    finally:
        del sys.modules["numpy"]
