"""Delta tables: open one, and say in one sentence what is wrong with it. The log is read and written by deltalake."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.errors import ConfigError
from pipeline.system.places import ObjectPath, Place, Unreachable

HINT = "install what reads and writes Delta tables: pip install 'nano-pipeline[delta]'"

_LONGEST = 200  # characters of what deltalake says


def deltalake(module: str = "") -> Any:
    """Return the library, or a *module* of it.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        return import_module(f"deltalake.{module}" if module else "deltalake")
    except ImportError as error:
        raise ConfigError(f"Delta tables need deltalake, which is not installed; {HINT}") from error


def is_created(place: Place) -> bool:
    """Return whether a table is at *place*: a log with a commit, other than what a writer that was killed leaves behind."""
    if not storage.is_delta_table(place):
        return False
    return any(name.endswith((".json", ".parquet")) for name, _ in storage.entries(place / "_delta_log"))


def open_table(place: Place, version: int | None = None) -> Any:
    """Open the table at *place*, as it is now or was in a *version*.

    Raises:
        Unreachable: If it cannot be opened, or has no such version.
        ConfigError: If the library is not installed.
    """
    library = deltalake()
    with speaking(place):
        try:
            return library.DeltaTable(str(place), version=version, storage_options=options(place))
        except library.exceptions.DeltaError:
            if version is None:
                raise
            newest = library.DeltaTable(str(place), storage_options=options(place)).version()
    raise Unreachable(0, f"has no version {version} any more or yet; its newest is {newest}", str(place))


def options(place: Place) -> dict[str, str]:
    """Return what deltalake needs to know to reach *place* beside the environment, where it finds credentials itself."""
    is_plain = any(
        value.startswith("http://")
        for name, value in os.environ.items()
        if name.startswith(("AWS_", "AZURE_"))
    )
    return {"allow_http": "true"} if isinstance(place, ObjectPath) and is_plain else {}


@contextmanager
def speaking(place: Place) -> Iterator[None]:
    """Raise what deltalake says about *place* as an Unreachable with one sentence; its conflicts, and our own errors, pass."""
    library = deltalake("exceptions")
    try:
        yield
    except library.CommitFailedError:
        raise
    except Exception as error:
        known = isinstance(error, library.DeltaError | pa.ArrowException) or type(error) is Exception
        if known or (isinstance(error, OSError) and error.errno is None):  # those of Python have a number
            raise Unreachable(0, _said(error, place), str(place)) from error
        raise


def _said(error: Exception, place: Place) -> str:
    """Return what deltalake says, in one line; of an object store only what has no secrets in it."""
    if isinstance(place, ObjectPath):
        from pipeline.storage.client import said  # noqa: PLC0415 - few tables are in a store

        return said(error)
    return " ".join(str(error).split())[:_LONGEST]
