"""The libraries of the extra `judge`: scikit-learn and scipy, imported only where something is judged."""

from importlib import import_module
from typing import Any

from pipeline.errors import ConfigError

HINT = "install what judges labels: pip install 'nano-pipeline[judge]'"


def library(name: str) -> Any:
    """Import the module *name* of scikit-learn or scipy.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f"{name.split('.', maxsplit=1)[0]} cannot be imported ({error}); {HINT}") from error
