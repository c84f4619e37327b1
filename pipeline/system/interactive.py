"""Tell whether somebody is looking: in a notebook, or at Python's prompt."""

import sys


def is_interactive() -> bool:
    """Return whether this process is a notebook's, or has a prompt."""
    ipython = sys.modules.get("IPython")  # what is not loaded does not run this process
    return hasattr(sys, "ps1") or (ipython is not None and ipython.get_ipython() is not None)
