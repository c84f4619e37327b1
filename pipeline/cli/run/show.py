"""`run --show`: the first rows of a published output, as a table that fits the terminal."""

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import storage
from pipeline.cli.tables import table_lines
from pipeline.config import Config
from pipeline.config.paths import format_of
from pipeline.storage import delta
from pipeline.system.places import Place

MOST_ROWS = 20


def row_lines(output: Place, config: Config) -> list[str]:
    """Return a table of the first rows of *output*: id or row, text, label, confidence."""
    frame = _head(output, format_of(output) or config.output.file_format)
    prefix = config.output.columns.prefix
    texts = [name for name in config.task.columns if name in frame.columns]
    given = config.input.id if config.input.id in frame.columns else None
    heads = [given or "row", *(["text"] if texts else []), "label", "confidence"]
    rows = [
        [
            _text(row[given]) if given else str(index),
            *([" · ".join(filter(None, (_text(row[name]) for name in texts)))] if texts else []),
            _label(row, prefix),
            _confidence(row.get(f"{prefix}label_confidence")),
        ]
        for index, row in enumerate(frame.iter_rows(named=True))
    ]
    return table_lines(heads, rows, wide=1 if texts else 0, right=(len(heads) - 1,)) if rows else []


def _head(output: Place, form: str) -> pl.DataFrame:
    if form == "delta":
        rows = delta.open_table(output).scan()
        return pl.DataFrame(next(iter(pa.RecordBatchReader.from_stream(rows)), None)).head(MOST_ROWS)
    files = [file for file in storage.files_below(output) if file == output or format_of(file) == form]
    frames, missing = [], MOST_ROWS
    for file in files:
        frames.append(_read(file, form, missing))
        missing -= frames[-1].height
        if missing <= 0:
            break
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def _read(file: Place, form: str, rows: int) -> pl.DataFrame:
    if form == "parquet":
        with storage.open_arrow(file) as opened:
            read = pq.ParquetFile(opened)
            first = next(read.iter_batches(rows), None)
            return pl.DataFrame(read.schema_arrow.empty_table() if first is None else first)
    with storage.open_file(file) as content:
        if form.startswith("csv"):
            return pl.read_csv(content, n_rows=rows, infer_schema=False)
        return pl.scan_ndjson(content, n_rows=rows, infer_schema_length=rows).collect()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _label(row: dict[str, object], prefix: str) -> str:
    """Return the labels of a row; why it has none, in brackets."""
    found = row.get(f"{prefix}label", row.get(f"{prefix}labels"))
    status = _text(row.get(f"{prefix}label_status"))
    if isinstance(found, list):
        found = ", ".join(map(str, found)) or ("(none)" if status == "ok" else None)
    said = _text(found) or f"({status})"
    return said if status in {"ok", ""} or not found else f"{said} ({status})"


def _confidence(value: object) -> str:
    try:
        return f"{float(str(value)):.2f}"
    except ValueError:
        return ""
