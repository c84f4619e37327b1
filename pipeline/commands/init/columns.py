"""What the columns of a table hold, judged by a sample of its rows."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import TypeAlias

import pyarrow as pa

from pipeline.inputs.folders import with_partitions
from pipeline.inputs.parquet import open_table
from pipeline.inputs.read import as_in_table
from pipeline.inputs.source import Block, InputFile, Source
from pipeline.inputs.text import as_text, cells, has_text, without

SAMPLE_ROWS, SAMPLE_CELLS = 20_000, 1_000_000
"""Most rows and most cells that are looked at."""

SAMPLE_BLOCKS = 20
"""From how many places of the table they are: a table is often sorted by what its labels are."""

_BATCH = {"max_rows": 512, "max_bytes": 4 << 20}

# Scripts without blanks between words; two characters are about a word.
_DENSE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\u0e00-\u0e7f]")
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>")
_MARKED_UP = 0.5

_SEPARATOR = re.compile("[,;|]")
_ENUMERATED = 0.9

Cell: TypeAlias = str | None


@dataclass(frozen=True)
class Column:
    """A column, by the cells of the sample.

    Attributes:
        name: Its name.
        kind: `text`, `number`, `other` for what else has a text, such as dates; `list` of texts.
        cells: The text of each cell of the sample, or the texts in its list; null where there is none.
    """

    name: str
    kind: str
    cells: Sequence[Cell | Sequence[Cell]]

    @cached_property
    def filled(self) -> list[str]:
        """The texts that are there, in order; those of all lists."""
        found = (cell for each in self.cells for cell in ([each] if isinstance(each, str | None) else each))
        return [cell for cell in found if cell and not cell.isspace()]

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each text is there."""
        return Counter(self.filled)

    @cached_property
    def words(self) -> float:
        """The median number of words of a text."""
        return median(map(_words, self.filled)) if self.filled else 0

    @cached_property
    def longest(self) -> int:
        """The characters of the longest text."""
        return max(map(len, self.filled), default=0)

    @property
    def is_unique(self) -> bool:
        """Whether each row has a text of its own."""
        return len(self.counts) == len(self.cells) > 0

    @property
    def variety(self) -> float:
        """How many of the texts are different, as a share."""
        return len(self.counts) / len(self.filled) if self.filled else 0

    @property
    def is_enumeration(self) -> bool:
        """Whether the texts are lists of single words, such as tags, rather than sentences."""
        parts = [part for cell in self.filled for part in enumerated(cell)]
        words = sum(len(part.split()) <= 1 for part in parts)
        return len(parts) > len(self.filled) and words >= _ENUMERATED * len(parts)

    @property
    def is_marked_up(self) -> bool:
        """Whether most texts hold HTML or the like."""
        return sum(bool(_MARKUP.search(cell)) for cell in self.filled) > _MARKED_UP * len(self.filled)


def enumerated(text: str) -> list[str]:
    """Return the parts of a text that lists something."""
    return [part.strip() for part in _SEPARATOR.split(text)]


def columns_of(source: Source) -> list[Column]:
    """Return the columns of *source* that can be used: of a name of their own, with text or lists of texts."""
    names = [name for name in source.schema.names if name and source.schema.names.count(name) == 1]
    kinds = {name: source.schema.field(name).type for name in names}
    used = [name for name in names if has_text(kinds[name]) or is_texts(kinds[name])]
    read = sample(source, used)
    return [Column(name, _kind(kinds[name], read[name]), read[name]) for name in used]


def sample(source: Source, names: Sequence[str]) -> dict[str, list[Cell | Sequence[Cell]]]:
    """Return the cells of some rows, from all over the table, by column."""
    blocks = [(file, block) for file in source.files for block in file.blocks if block.rows]
    step = max(1, len(blocks) // SAMPLE_BLOCKS)
    chosen = blocks[::step]
    most = min(SAMPLE_ROWS, SAMPLE_CELLS // max(1, len(names)))
    found: dict[str, list[Cell | Sequence[Cell]]] = {name: [] for name in names}
    for file, block in chosen if names else ():
        _take(found, source, file, block, -(-most // len(chosen)))
    return found


def column_cells(source: Source, name: str) -> Iterator[Cell | Sequence[Cell]]:
    """Yield all cells of a column."""
    for file in source.files:
        for block in file.blocks:
            for batch in _batches(file, block, [name]):
                yield from _cells(batch, name, source, file)


def is_texts(kind: pa.DataType) -> bool:
    """Return whether a type is a list of texts."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    inner = kind.value_type
    return has_text(inner.value_type if pa.types.is_dictionary(inner) else inner)


def _take(
    found: Mapping[str, list[Cell | Sequence[Cell]]], source: Source, file: InputFile, block: Block, rows: int
) -> None:
    """Add the first *rows* of a block."""
    for batch in _batches(file, block, list(found)):
        part = batch.slice(0, rows)
        for name, into in found.items():
            into.extend(_cells(part, name, source, file))
        rows -= part.num_rows
        if rows <= 0:
            return


def _batches(file: InputFile, block: Block, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    stored = [name for name in names if name not in file.partitions]
    with open_table(file.path) as table:
        for batch in as_in_table(table, file).batches(block, stored, **_BATCH):
            yield with_partitions(batch, file.partitions, names)


def _cells(batch: pa.RecordBatch, name: str, source: Source, file: InputFile) -> list[Cell | Sequence[Cell]]:
    column = batch.column(name)
    if is_texts(column.type):
        return [
            None if each is None else [None if cell is None else str(cell) for cell in each]
            for each in column.to_pylist()
        ]
    text = as_text(column)
    return [*cells(without(text, source.csv.nulls) if file.format == "csv" else text)]


def _kind(stored: pa.DataType, read: Sequence[Cell | Sequence[Cell]]) -> str:
    if is_texts(stored):
        return "list"
    if pa.types.is_integer(stored) or pa.types.is_floating(stored) or pa.types.is_decimal(stored):
        return "number"
    inner = stored.value_type if pa.types.is_dictionary(stored) else stored
    if not (pa.types.is_string(inner) or pa.types.is_large_string(inner) or pa.types.is_string_view(inner)):
        return "other"
    filled = [cell for cell in read if isinstance(cell, str) and cell and not cell.isspace()]
    if filled and all(map(_is_number, filled)):
        return "number"
    return "text" if any(any(map(str.isalpha, cell)) for cell in filled) else "other"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _words(text: str) -> float:
    """Count the words of a text that hold a letter."""
    head = text[:2000]
    dense = len(_DENSE.findall(head))
    return sum(any(map(str.isalpha, word)) for word in head.split()) + dense / 2
