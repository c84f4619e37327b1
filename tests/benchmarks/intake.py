"""Measure how fast CSV and JSON Lines come in, and the memory that takes, beside a bare loop that writes Parquet.

    .venv/bin/python -m tests.benchmarks.intake [MB]

Each line of the table is a process of its own: the table, its size in MB (100 unless given), what reads it, seconds
of processor time, MB a second, and the peak of its memory. The bare loop is the standard library's reader with a list for
each column, and Parquet written by pyarrow every 50,000 rows.
"""

import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WORDS = [
    "the",
    "of",
    "a",
    "label",
    "row",
    "text",
    "table",
    "answer",
    "model",
    "is",
    "not",
    "in",
    "out",
    "by",
    "for",
    "with",
    "from",
    "to",
    "cheap",
    "fast",
]


def rows(megabytes: int) -> list[tuple[str, str, str]]:
    """Return rows of an id, a title and a text of some 300 characters: a tenth of *megabytes*, to be written ten times."""
    dice = random.Random(1)
    return [
        (f"{n:08}", " ".join(dice.choices(WORDS, k=6)), " ".join(dice.choices(WORDS, k=60)))
        for n in range(megabytes * 100_000 // 310)
    ]


def write(folder: Path, megabytes: int) -> list[Path]:
    """Write the tables: nothing quoted, the text quoted with a quote and a line break in it, and JSON Lines."""
    some = rows(megabytes)
    plain, quoted, lines = folder / "plain.csv", folder / "quoted.csv", folder / "lines.jsonl"
    with plain.open("w") as file:
        file.write("id,title,text\n")
        for _ in range(10):
            file.writelines(f"{a},{b},{c}\n" for a, b, c in some)
    with quoted.open("w") as file:
        file.write("id,title,text\n")
        for _ in range(10):
            file.writelines(f'{a},"{b}","{c[:100]} ""so"", \n{c[100:]}"\n' for a, b, c in some)
    with lines.open("w") as file:
        for _ in range(10):
            file.writelines(json.dumps({"id": int(a), "title": b, "text": c}) + "\n" for a, b, c in some)
    return [plain, quoted, lines]


def ours(path: Path, folder: Path) -> None:
    """Take a file in as a survey does."""
    from pipeline.config import InputSettings  # noqa: PLC0415 - each process loads what it measures
    from pipeline.inputs.survey import survey  # noqa: PLC0415

    survey(InputSettings(path=str(path)), ["text"], copies=folder / "input")


def bare(path: Path, folder: Path) -> None:
    """Read a file in a loop and write Parquet."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    with path.open(newline="", encoding="utf-8") as file:
        is_csv = path.suffix == ".csv"
        found = (
            csv.reader(file, strict=True) if is_csv else (list(json.loads(line).values()) for line in file)
        )
        names = next(found) if is_csv else ["id", "title", "text"]
        kinds = [pa.string() if is_csv or name != "id" else pa.int64() for name in names]
        schema = pa.schema(list(zip(names, kinds, strict=True)))
        with pq.ParquetWriter(folder / "bare.parquet", schema) as writer:
            columns: list[list[object]] = [[] for _ in names]
            for row in found:
                for column, cell in zip(columns, row, strict=True):
                    column.append(cell)
                if len(columns[0]) == 50_000:
                    writer.write_table(pa.table(columns, schema))
                    columns = [[] for _ in names]
            writer.write_table(pa.table(columns, schema))


def main() -> None:
    """Write the tables, and measure each way to read each of them in a process of its own."""
    if sys.argv[1:2] == ["one"]:
        _, _, how, path, folder = sys.argv
        before = time.process_time()
        {"ours": ours, "bare": bare}[how](Path(path), Path(folder))
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(time.process_time() - before, usage.ru_maxrss / 1024)
        return
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as folder:
        for path in write(Path(folder), megabytes):
            size = path.stat().st_size / 1e6
            for how in ("ours", "bare"):
                command = [sys.executable, "-m", "tests.benchmarks.intake", "one", how, str(path), folder]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                seconds, peak = map(float, done.stdout.split())
                print(
                    f"{path.name:12} {size:6.0f} MB  {how}  {seconds:6.2f} s  {size / seconds:5.0f} MB/s  {peak:5.0f} MB"
                )


if __name__ == "__main__":
    main()
