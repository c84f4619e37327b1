"""Gold: the right labels of some rows, from a column of the input or from a file of id and label."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.commands.gold_file import label_cells, read_gold_file
from pipeline.errors import ConfigError, InputDataError, NoInputError
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import Source, all_spans
from pipeline.job.job import Job
from pipeline.tasks.gold import GoldReader

SHOWN = 3


@dataclass(slots=True)
class Gold:
    """The right labels of some rows.

    Attributes:
        labels: By row index, in order.
        origin: Where they are from, for people.
        unknown: Labels that the task does not know, with the number of rows that have them. Of kind single such a row is
            wrong, whatever it got; of kind multi the row's other labels count.
        remarks: What else is to be said of them: sentences.
    """

    labels: Mapping[int, frozenset[str]]
    origin: str
    unknown: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    @property
    def rows(self) -> Sequence[int]:
        """The indexes of the rows, rising."""
        return list(self.labels)


def read_gold(job: Job, gold: str | None) -> Gold:
    """Return the right labels of *job*'s rows: *gold* is a column or a file; None stands for `task.gold`.

    Raises:
        ConfigError: If there is no gold, or it is in no column of the input.
        NoInputError: If *gold* is neither a column nor a file that is there.
        InputDataError: If it cannot be understood.
    """
    name = gold if gold is not None else job.config.task.gold
    reader = GoldReader(job.config.task, job.source.null_words)
    if name is None:
        raise ConfigError(
            f"{job.config.path}: knows no right labels; set task.gold to a column of the input, give --gold FILE of id,label, "
            f"or draw rows to label: {job.config.command('evaluate', '--make-gold', '200')}"
        )
    if name in job.source.schema.names:
        cells = label_cells(job.source, name, "gold")
        found = Gold(dict(_labels(reader, cells, name)), f"column {name}")
    elif gold is None:
        raise ConfigError(f"task.gold: {name}: the input has no such column; it has {_columns(job.source)}")
    else:
        found = _of_file(job, Path(name), reader)
    found.unknown.update(name for labels in found.labels.values() for name in labels - reader.names)
    if found.unknown and job.config.task.kind == "multi":
        # Whether a row has a label that is not among the choices is no question that the task asks.
        found.labels = {row: labels & reader.names for row, labels in found.labels.items()}
        found.remarks.append("of each row's right labels those count that the task knows")
    if not found.labels:
        raise ConfigError(f"{found.origin}: has no right label of any row; fill some in")
    return found


def _columns(source: Source) -> str:
    return ", ".join(source.schema.names)


def _labels(
    reader: GoldReader, values: Iterable[tuple[int, Any]], where: str
) -> Iterator[tuple[int, frozenset[str]]]:
    for row, cell in values:
        try:
            labels = reader.labels(cell)
        except InputDataError as error:
            raise InputDataError(f"{where}: row {row} {error.problems[0]}") from None
        if labels is not None:
            yield row, labels


def _of_file(job: Job, path: Path, reader: GoldReader) -> Gold:
    if not path.is_file():
        raise NoInputError(
            f"{path}: is no file, and the input has no such column; it has {_columns(job.source)}"
        )
    column = job.config.input.id
    by_id: dict[str, frozenset[str]] = {}
    for line, (key, cell) in enumerate(read_gold_file(path, column, reader.names), start=1):
        for _, labels in _labels(reader, [(line, cell)], str(path)):
            if by_id.setdefault(key, labels) != labels:
                raise InputDataError(
                    f"{path}: names two different right labels for {column or 'row'} {key}; keep one"
                )
    found, missing, repeated = _rows_of(job.source, column, by_id)
    remarks = []
    if missing:
        some = ", ".join(missing[:SHOWN]) + (", ..." if len(missing) > SHOWN else "")
        remarks.append(
            f"{len(missing):,} of the {len(by_id):,} ids in {path} are in no row of the input: {some}"
        )
    if repeated:
        remarks.append(f"{repeated:,} ids of {path} are those of several rows, each of which counts")
    return Gold({row: by_id[key] for row, key in found}, str(path), remarks=remarks)


def _rows_of(
    source: Source, column: str | None, ids: Mapping[str, Any]
) -> tuple[list[tuple[int, str]], list[str], int]:
    """Return the rows that *ids* name, each with its id; the ids that name none; how many name several."""
    if column is None:
        known = {key: int(key) for key in ids if key.isdecimal() and int(key) < source.rows}
        found = sorted((row, key) for key, row in known.items())
        return found, [key for key in ids if key not in known], 0
    rows: defaultdict[str, int] = defaultdict(int)
    found = []
    for chunk in read_chunks(source, [column], all_spans(source)):
        for place, cell in enumerate(chunk.columns[column]):
            if cell in ids and cell is not None:
                found.append((chunk.span.start + place, cell))
                rows[cell] += 1
    return found, [key for key in ids if key not in rows], sum(count > 1 for count in rows.values())
