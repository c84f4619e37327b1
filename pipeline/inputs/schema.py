"""One schema of many files: what writers call the type of a column may differ, what it means may not.

pandas 2 writes `string` and `timestamp[ns]` where pandas 3 writes `large_string` and `timestamp[us]`, and a column
without any value has the type `null`. Each column gets one type to which those of all files can be cast without loss.
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as is_a

from pipeline.errors import InputDataError
from pipeline.inputs.folders import Partitions, with_partitions
from pipeline.inputs.kinds import always_fits, cast, common_type, values_fit
from pipeline.system.places import Place


@dataclass(frozen=True, slots=True)
class Part:
    """A file and its columns.

    Attributes:
        footer: The file whose footer tells about its values: the user's own, or the footer of its copy.
        origin: The user's file.
        name: Its name in messages about other files.
        schema: Its columns, including those in its path.
    """

    footer: Place
    origin: Place
    name: str
    schema: pa.Schema


def one_schema(parts: Sequence[Part]) -> tuple[pa.Schema, list[InputDataError]]:
    """Return the schema of the table that *parts* make up, in the order of the first; and what does not fit together."""
    alike: dict[bytes, list[Part]] = {}
    for part in parts:
        alike.setdefault(part.schema.remove_metadata().serialize().to_pybytes(), []).append(part)
    first = parts[0]
    columns = [_Column(field, first.name) for field in first.schema]
    problems: list[InputDataError] = []
    for group in alike.values():
        words = list(_differences(first, group[0])) or [
            found
            for column, index in zip(columns, _order(first.schema.names, group[0].schema.names), strict=True)
            if (found := column.add(group[0].schema.field(index), group))
        ]
        problems += [_problem(part, each) for part in group for each in words]
    for column in columns:
        problems += column.losses()
    fields = [column.field for column in columns]
    return pa.schema(fields, first.schema.metadata), problems


def conformed(
    batch: pa.RecordBatch, schema: pa.Schema, names: Sequence[str] | None, partitions: Partitions
) -> pa.RecordBatch:
    """Return the columns *names* (None: all) of a batch of a file as *schema*, the one of all files, has them."""
    batch = with_partitions(batch, partitions, schema.names if names is None else names)
    wanted = schema if names is None else pa.schema([schema.field(name) for name in names])
    if (batch.schema.names, batch.schema.types) == (wanted.names, wanted.types):
        return batch  # even one without columns has rows
    columns = map(batch.column, _order(wanted.names, batch.schema.names))
    arrays = [cast(column, field.type) for column, field in zip(columns, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """Return the column among *names* that *name* was probably meant to be: the same but for capitals, or a similar one."""
    folded = {each.strip().casefold(): each for each in reversed(names)}
    found = difflib.get_close_matches(name.strip().casefold(), folded, n=1)
    return folded[found[0]] if found else None


class _Column:
    """A column of the table, and the types that the files have for it."""

    def __init__(self, field: pa.Field, name: str) -> None:
        self.field = field
        self._known, self._where = field.type, name  # what messages compare with
        self._parts: dict[pa.DataType, list[Part]] = {}

    def add(self, field: pa.Field, parts: list[Part]) -> str | None:
        """Add the column as *parts* have it; return what is wrong with its type."""
        common = common_type(self.field.type, field.type)
        if common is None:
            return f"column {field.name!r} is {field.type}, in {self._where} it is {self._known}"
        if is_a.is_null(self._known):
            self._known, self._where = field.type, parts[0].name
        self._parts.setdefault(field.type, []).extend(parts)
        self.field = self.field.with_type(common).with_nullable(self.field.nullable or field.nullable)
        return None

    def losses(self) -> Iterator[InputDataError]:
        """Yield which files have values that the common type cannot hold."""
        target = self.field.type
        for kind, parts in self._parts.items():
            if always_fits(kind, target):
                continue
            other = target if target in self._parts else next(each for each in self._parts if each != kind)
            words = f"column {self.field.name!r} is {kind}, in {self._parts[other][0].name} it is {other}"
            for part in parts:
                if not values_fit(part.footer, self.field.name, kind, target):
                    yield _problem(part, words)


def _differences(first: Part, other: Part) -> Iterator[str]:
    """Yield which columns only one of two files has; of several columns of one name nobody knows which is which."""
    names, others = first.schema.names, other.schema.names
    known, found = set(names), set(others)
    yield from (f"has no column {name!r}, {first.name} has one" for name in names if name not in found)
    yield from (f"has a column {name!r}, {first.name} has none" for name in others if name not in known)
    if known == found and names != others and max(len(names), len(others)) > len(known):
        name = next(name for name, usual in zip(others, names, strict=False) if name != usual)
        yield f"column {name!r} is in another place than in {first.name}"


def _order(names: list[str], found: list[str]) -> Sequence[int]:
    """Return where each of *names* is among those *found*, the same names in any order."""
    if names == found:
        return range(len(names))
    places = {name: place for place, name in enumerate(found)}
    return [places[name] for name in names]


def _problem(part: Part, words: str) -> InputDataError:
    return InputDataError(f"{part.origin}: {words}; give files of one schema")
