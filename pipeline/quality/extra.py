"""The libraries of the extras `judge` and `student`: scikit-learn and scipy, imported only where something is judged or learned."""

from importlib import import_module
from typing import Any

from pipeline.errors import ConfigError

HINTS = {
    "judge": "install what judges labels: pip install 'nano-pipeline[judge]'",
    "student": "install what the student learns with: pip install 'nano-pipeline[student]'",
}
HINT = HINTS["judge"]


def library(name: str, *, extra: str = "judge") -> Any:
    """Import the module *name* of scikit-learn or scipy, which *extra* installs.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{name.split('.', maxsplit=1)[0]} cannot be imported ({error}); {HINTS[extra]}"
        ) from error
