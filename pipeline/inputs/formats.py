"""The formats that can be read: one line each."""

from importlib import import_module
from typing import cast

from pipeline.inputs.source import Format

FORMATS = {"parquet": "pipeline.inputs.parquet", "csv": "pipeline.inputs.delimited.table"}
"""The module of each."""


def format_named(name: str) -> Format:
    """Return the format *name*, one of FORMATS; its module is loaded when a file has that format."""
    return cast("Format", import_module(FORMATS[name]))
