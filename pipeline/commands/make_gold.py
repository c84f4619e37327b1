"""`evaluate --make-gold`: draw answered rows for a person to label, and write them to a file to fill in."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.commands.answered import AnsweredRows, answered_rows, readable
from pipeline.commands.gold_file import read_gold_file, write_csv
from pipeline.config import Config
from pipeline.errors import CannotCreateError, NoInputError, PipelineError
from pipeline.job.job import Job
from pipeline.quality.drawing import Drawing
from pipeline.records import LABELLED

ROW = "row"


@dataclass(frozen=True, slots=True)
class MadeGold:
    """A file with rows to label.

    Attributes:
        file: Its path.
        rows: How many rows it has.
        of: How many rows have an answer with labels, of which it was drawn.
        id_column: The column that names the rows.
        kind: `single` or `multi`.
    """

    file: str
    rows: int
    of: int
    id_column: str
    kind: str

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name, in order."""
        return asdict(self)


def gold_path(config: Config) -> Path:
    """Return where the file lies by default: beside the output, or the config if the output is elsewhere."""
    place = config.output.path
    output = place if isinstance(place, Path) else config.path.with_name(place.name)
    return output.with_name(f"{output.name.split('.')[0]}-gold.csv")


def make_gold(
    config: Config, rows: int, to: Path | None = None, *, show_labels: bool = False, seed: int = 0
) -> MadeGold:
    """Draw *rows* rows that have labels, and write them to a CSV file with an empty column `label`.

    Args:
        config: The config.
        rows: How many rows to draw.
        to: The file; by default one beside the output.
        show_labels: Whether the file tells the model's labels, which lead whoever labels.
        seed: The same draws the same rows.

    Raises:
        CannotCreateError: If somebody has filled in the file that is there, or it cannot be written.
        NoInputError: If no row has an answer yet.
        PipelineError: If the config or the input is wrong.
    """
    path = (to or gold_path(config)).absolute()
    _ensure_blank(path, config)
    with readable(config) as job:
        drawing, found = Drawing(rows, seed=seed), 0
        for part in answered_rows(job):
            for row, outcome in zip(part.rows, part.outcomes, strict=True):
                if outcome is not None and outcome.status in LABELLED:
                    found += 1
                    drawing.add(row, outcome.labels or ("",))
        if not found:
            raise NoInputError("no row has an answer with labels yet; `run` asks about them")
        drawn = _lines(job, drawing.drawn(), show_labels=show_labels)
    name = config.input.id or ROW
    write_csv(path, drawn, raw=(name,))
    return MadeGold(str(path), len(drawn), found, name, config.task.kind)


def _lines(job: Job, rows: Sequence[int], *, show_labels: bool) -> list[dict[str, Any]]:
    column = job.config.input.id
    return [
        line
        for part in answered_rows(job, [column] if column else [], only=rows)
        for line in _lines_of(part, column, show_labels=show_labels)
    ]


def _lines_of(part: AnsweredRows, column: str | None, *, show_labels: bool) -> list[dict[str, Any]]:
    names: Sequence[Any] = part.cells[column] if column else part.rows
    lines = []
    for name, text, outcome in zip(names, part.prompts.texts, part.outcomes, strict=True):
        line = {column or ROW: name, "text": text, "label": ""}
        if show_labels and outcome is not None:
            line["model"] = "; ".join(outcome.labels)
        lines.append(line)
    return lines


def _ensure_blank(path: Path, config: Config) -> None:
    """Check that no work is lost by replacing *path*.

    Raises:
        CannotCreateError: If it is there and somebody has filled it in, or it is another file.
    """
    if not path.exists():
        return
    names = {label.name for label in config.task.labels}
    try:
        filled = sum(
            bool(str(cell or "").strip()) for _, cell in read_gold_file(path, config.input.id, names)
        )
    except PipelineError as error:
        raise CannotCreateError(
            f"{path}: is there already, and no file of gold; choose another with --to"
        ) from error
    if filled:
        raise CannotCreateError(
            f"{path}: is there already, and {filled:,} of its rows are filled in; read them with --gold {path}, "
            "or choose another file with --to"
        )
