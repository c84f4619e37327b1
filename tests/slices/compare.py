"""Tables with duplicates, and what two outputs of one table must have in common."""

import random

import polars as pl

from tests.jobs import JobFiles, texts


def with_duplicates(count: int, share: float = 0.3) -> list[str | None]:
    """Rows of which *share* repeat another one's text, some in the neighbourhood and some far away; and two without text."""
    dice = random.Random(7)
    different = texts(count - int(count * share) - 2)
    rows: list[str | None] = [*different, *dice.choices(different, k=int(count * share)), None, ""]
    dice.shuffle(rows)
    return rows


def distinct(rows: list[str | None]) -> int:
    """How many prompts there are."""
    return len(set(filter(None, rows)))


def but_for_run_ids(frame: pl.DataFrame) -> pl.DataFrame:
    """The output without the one column that names runs."""
    return frame.drop("label_run")


def slices(job: JobFiles, count: int, *only: int) -> None:
    """Run all slices of *count*, or *only* some."""
    for index in only or range(count):
        done = job.run("--slice", f"{index}/{count}")
        assert done.returncode == 0, done.stderr
