"""Files of id and label: reading those that people fill in, and writing those that they are to fill in."""

import csv
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.commands.init.looking import surveyed
from pipeline.errors import CannotCreateError, InputDataError
from pipeline.inputs.read import read_batches, read_chunks
from pipeline.inputs.source import Source, all_spans
from pipeline.inputs.text import as_text, has_text, names_labels
from pipeline.inputs.text import cells as texts
from pipeline.system.atomic import write

LABEL_NAMES = ("label", "labels", "gold")
ID_NAMES = ("id", "row")

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that spreadsheet programs take for a formula; texts are other people's."""


def read_gold_file(path: Path, id_column: str | None, labels: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the id and the label cell, or None, of each row of a table of any kind that `input.path` may be.

    Args:
        path: The table's file.
        id_column: What the config calls the ids.
        labels: The task's labels: a first line with one of them is no header.

    Raises:
        PipelineError: If it cannot be read as such a table.
    """
    # The ids must have the very text that they have in the input, so that both are read in the same way.
    with TemporaryDirectory(prefix="pipeline-gold-") as folder:
        _, source = surveyed(str(path), Path(folder), header=True)
        key, label = _columns(path, source.schema.names, id_column, labels)
        if not has_text(source.schema.field(key).type):
            raise InputDataError(
                f"{path}: the ids in column {key} are of type {source.schema.field(key).type}, which has no text; "
                "save them as text or numbers"
            )
        cells = dict(label_cells(source, label, str(path)))
        for chunk in read_chunks(source, [key], all_spans(source)):
            for row, name in enumerate(chunk.columns[key], chunk.span.start):
                if name is not None:
                    yield name, cells.get(row)


def label_cells(source: Source, column: str, where: str) -> Iterator[tuple[int, Any]]:
    """Yield the rows with a cell in *column*, and what it says: a text, or a list.

    Raises:
        InputDataError: If cells of its type are no labels; says *where*.
    """
    kind = source.schema.field(column).type
    if not names_labels(kind):
        raise InputDataError(f"{where}: column {column} is {kind}; right labels are text, or lists of text")
    for file in source.files:
        row = file.first_row
        for batch in read_batches(source, file, [column]):
            places = pc.indices_nonzero(batch.column(0).is_valid())
            known = batch.column(0).take(places)
            values = known.to_pylist() if pa.types.is_nested(kind) else texts(as_text(known))
            yield from zip((row + place for place in places.to_pylist()), values, strict=True)
            row += batch.num_rows


def _columns(
    path: Path, names: Sequence[str], id_column: str | None, labels: Collection[str]
) -> tuple[str, str]:
    """Return which of the columns *names* has the ids, and which the labels."""
    if set(names) & set(labels):
        raise InputDataError(f"{path}: the first line is a row of data; let it name the columns: id,label")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputDataError(f"{path}: has two columns that are called {twice}; rename one")
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
