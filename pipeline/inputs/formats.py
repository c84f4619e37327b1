"""The input formats: one line each."""

from importlib import import_module
from typing import cast

from pipeline.inputs.source import Format

FORMATS = {"parquet": "pipeline.inputs.parquet", "csv": "pipeline.inputs.delimited.table"}
"""Format name to the module that implements the `Format` protocol."""


def format_named(name: str) -> Format:
    """Return the format *name*, one of `FORMATS`; its module is imported only when a file has that format."""
    return cast("Format", import_module(FORMATS[name]))
