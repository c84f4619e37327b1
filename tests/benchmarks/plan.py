"""How right `plan` is: ten tables of different kinds, planned, run, and billed by real tokenizers.

    python -m tests.benchmarks.plan [before] [after] [packs] [student] [--rows 400] [--table TABLE --text COLUMNS]

`before` plans without any answer, `after` once 20 rows are answered, `packs` the same with five rows a request, `student` the range
that holds the bill. With `--table`
the rows are those of a file, ten pieces of it.
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import polars as pl

from tests.plan.promise import SOME, Kept, kept
from tests.plan.tables import Table, tables
from tests.plan.taught import ranges

KINDS = {
    "before": {"answers": 0},
    "after": {"answers": SOME},
    "packs": {"answers": SOME, "rows_per_request": 5},
    "packs before": {"answers": 0, "rows_per_request": 10},
}


STUDENTS = {"student before": 0, "student": 600}


def pieces(path: Path, columns: Sequence[str], rows: int) -> list[Table]:
    """Return ten tables of the rows of a file, with the labels of the ten that there are."""
    frame = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path)
    texts = frame.sample(10 * rows, seed=1).select(pl.concat_str(columns, separator="\n", ignore_nulls=True))
    lines = texts.to_series().to_list()
    return [replace(each, rows=lines[n * rows : (n + 1) * rows]) for n, each in enumerate(tables(1))]


def told(kind: str, name: str, found: Kept) -> str:
    """Return the line about one table."""
    parts = "  ".join(f"{each} {error:+7.1%}" for each, error in found.errors.items())
    return f"{kind:12} {name:34} {parts}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kinds", nargs="*", default=[*KINDS, *STUDENTS])
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--text", default="summary,description")
    chosen = parser.parse_args()
    some = pieces(chosen.table, chosen.text.split(","), chosen.rows) if chosen.table else tables(chosen.rows)
    for kind in [each for each in chosen.kinds if each in KINDS]:
        errors: list[float] = []
        for number, table in enumerate(some):
            with tempfile.TemporaryDirectory() as folder:
                found = kept(table, Path(folder) / str(number), **KINDS[kind])  # type: ignore[arg-type]
            print(told(kind, table.name, found), flush=True)
            errors.append(abs(found.error))
        print(f"{kind:12} median {median(errors):.1%}, worst {max(errors):.1%}", flush=True)
    for kind in [each for each in chosen.kinds if each in STUDENTS]:
        with tempfile.TemporaryDirectory() as folder:
            found = list(ranges(Path(folder), answers=STUDENTS[kind]))
        for one in found:
            least, usd, most = one.usd
            print(
                f"{kind}: {one.least:,} to {one.most:,}, came {one.requests:,}; ${least:.4f} to ${most:.4f}, came ${usd:.4f}"
            )
        print(
            f"{kind}: {sum(each.holds for each in found)} of {len(found)} ranges hold what came", flush=True
        )


if __name__ == "__main__":
    main()
