"""Files to read, and the shortest way to read them."""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config import CsvSettings, InputSettings
from pipeline.errors import InputDataError
from pipeline.inputs.read import read_chunks
from pipeline.inputs.source import Source, all_spans
from pipeline.inputs.survey import survey

Look = Callable[..., Source]
Put = Callable[[str, object], Path]


def settings(path: object, **csv: object) -> InputSettings:
    return InputSettings(path=str(path), csv=CsvSettings(**csv))


def texts(source: Source, columns: Sequence[str], **limits: int) -> dict[str, list[str | None]]:
    """Read all cells of *columns*, in chunks."""
    found: dict[str, list[str | None]] = {name: [] for name in columns}
    for chunk in read_chunks(source, columns, all_spans(source), **limits):
        for name, cells in chunk.columns.items():
            found[name] += cells
    return found


@pytest.fixture(name="put")
def _put(tmp_path: Path) -> Put:
    """Write a file: a table as Parquet, text or bytes as they are, packed for a name in .gz."""

    def put(name: str, content: object) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pa.Table):
            pq.write_table(content, path)
            return path
        data = content.encode() if isinstance(content, str) else content
        assert isinstance(data, bytes)
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return put


@pytest.fixture(name="look")
def _look(tmp_path_factory: pytest.TempPathFactory) -> Look:
    """Survey a path for the column `text`, or for those given."""
    folder = tmp_path_factory.mktemp("state") / "input"

    def look(path: object, *used: str, copies: Path = folder, **csv: object) -> Source:
        return survey(settings(path, **csv), used or ("text",), copies=copies)

    return look


@pytest.fixture(name="read")
def _read(look: Look) -> Callable[..., dict[str, list[str | None]]]:
    """Read all cells of the columns of a path."""

    def read(path: object, *used: str, **csv: object) -> dict[str, list[str | None]]:
        return texts(look(path, *used, **csv), used or ("text",))

    return read


@pytest.fixture(name="refused")
def _refused(look: Look) -> Callable[..., None]:
    """Check that a path is refused in one line that names it, holds some words and ends with a remedy."""

    def refused(path: Path, *words: str) -> None:
        with pytest.raises(InputDataError) as caught:
            look(path)
        (problem,) = caught.value.problems
        assert problem.startswith(str(path))
        assert "\n" not in problem
        assert ";" in problem
        assert not [word for word in words if word not in problem], problem

    return refused
