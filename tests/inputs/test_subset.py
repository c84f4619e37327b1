"""The sample that the documentation and the tests use is what its README says."""

import csv
from collections import Counter
from pathlib import Path

import polars as pl

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SECTIONS = ("games", "sound", "graphics", "science", "mail", "fonts", "database", "editors")


def test_the_sample_holds_thirty_packages_of_each_of_eight_sections():
    rows = pl.read_parquet(SAMPLE / "packages.parquet").to_dicts()
    assert Counter(row["section"] for row in rows) == dict.fromkeys(SECTIONS, 30)
    assert len({row["package"] for row in rows}) == 240
    assert sum(not row["tags"] for row in rows) == 115


def test_both_files_hold_the_same_rows_in_the_same_order():
    rows = pl.read_parquet(SAMPLE / "packages.parquet").to_dicts()
    with (SAMPLE / "packages.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines == [row | {"tags": ", ".join(row["tags"])} for row in rows]
