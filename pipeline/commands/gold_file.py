"""Files of id and label: reading those that people fill in, and writing those that they are to fill in."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import CannotCreateError, InputDataError
from pipeline.system.atomic import write

LABEL_NAMES = ("label", "labels", "gold")
ID_NAMES = ("id", "row")
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheet programs take for a formula; texts are other people's."""


def read_gold_file(path: Path, id_column: str | None, labels: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the id and the label cell, or None, of each line of a CSV, TSV, Parquet or JSON Lines file.

    Args:
        path: The file.
        id_column: What the config calls the ids.
        labels: The task's labels: a first line with one of them is no header.

    Raises:
        InputDataError: If it cannot be read as such a file.
    """
    import polars as pl  # noqa: PLC0415 - takes a fifth of a second to import

    try:
        frame = _frame(path)
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InputDataError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); save it as CSV in UTF-8"
        ) from error
    key, label = _columns(path, frame.columns, id_column, labels)
    keys = frame.get_column(key).cast(pl.String).to_list()
    values = frame.get_column(label)
    if not values.dtype.is_nested():
        values = values.cast(pl.String)
    yield from ((key, cell) for key, cell in zip(keys, values.to_list(), strict=True) if key is not None)


def _frame(path: Path) -> Any:
    import polars as pl  # noqa: PLC0415 - as above

    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pl.read_parquet(path)
    if suffix in {".jsonl", ".ndjson"}:
        return pl.read_ndjson(path)
    text = path.read_bytes().decode("utf-8-sig")  # spreadsheet programs put a byte order mark before it
    if not text.strip():
        raise ValueError("it is empty")
    first = text.split("\n", 1)[0]
    # Where a comma is in numbers, spreadsheet programs write semicolons.
    delimiter = "\t" if suffix == ".tsv" else max(DELIMITERS, key=first.count)
    return pl.read_csv(text.encode(), separator=delimiter, infer_schema=False, truncate_ragged_lines=False)


def _columns(
    path: Path, names: Sequence[str], id_column: str | None, labels: Collection[str]
) -> tuple[str, str]:
    """Return which of the columns *names* has the ids, and which the labels."""
    if set(names) & set(labels):
        raise InputDataError(f"{path}: the first line is a row of data; let it name the columns: id,label")
    by_name = {name.strip().casefold(): name for name in names}
    keys = (
        [id_column]
        if id_column and id_column in names
        else [by_name[name] for name in ID_NAMES if name in by_name]
    )
    found = [by_name[name] for name in LABEL_NAMES if name in by_name]
    if len(names) == 2 and not (keys and found):  # noqa: PLR2004 - an id and a label
        key = keys[0] if keys else next(name for name in names if name not in found[:1])
        return key, next(name for name in names if name != key)
    if not keys or not found:
        raise InputDataError(
            f"{path}: has the columns {', '.join(names)}; one is to be called {id_column or 'row'}, and one label"
        )
    return keys[0], found[0]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]], *, raw: Collection[str] = ()) -> None:
    """Write *rows*, at least one, to a CSV file that spreadsheet programs open, and in which no text is a formula.

    Args:
        path: The file; it is replaced.
        rows: The cells by column.
        raw: Columns that are read back, and stay as they are.

    Raises:
        CannotCreateError: If it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        [{name: value if name in raw else _harmless(value) for name, value in row.items()} for row in rows]
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text.getvalue().encode("utf-8-sig", "replace"), 0o644)
    except OSError as error:
        raise CannotCreateError(f"{path}: cannot be written ({error}); choose another place") from error


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
