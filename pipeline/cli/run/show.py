"""`run --show`: the first rows of a published output, as a table that fits the terminal."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from pipeline.cli.tables import table_lines
from pipeline.config import Config
from pipeline.config.paths import format_of

MOST_ROWS = 20


def row_lines(output: Path, config: Config) -> list[str]:
    """Return a table of the first rows of *output*: id or row, text, label, confidence."""
    frame = _head(output, config.output.file_format)
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


def _head(output: Path, form: str) -> pl.DataFrame:
    files = [output] if output.is_file() else sorted(_files(output, form))
    frames, missing = [], MOST_ROWS
    for file in files:
        frames.append(_read(file, form, missing))
        missing -= frames[-1].height
        if missing <= 0:
            break
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def _files(folder: Path, form: str) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if format_of(path) == form and path.is_file())


def _read(file: Path, form: str, rows: int) -> pl.DataFrame:
    match form.removesuffix(".gz"):
        case "csv":
            return pl.read_csv(file, n_rows=rows, infer_schema=False)
        case "jsonl":
            return pl.scan_ndjson(file, n_rows=rows, infer_schema_length=rows).collect()
        case _:
            return pl.scan_parquet(file, hive_partitioning=False).head(rows).collect()


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
