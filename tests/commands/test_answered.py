"""Which rows are read to get at some of them."""

from pathlib import Path

import polars as pl

from pipeline.commands.answered import NEAR, answered_rows, readable, spans_of
from pipeline.records import Span
from tests.jobs import JobFiles, texts
from tests.judged import Reply, answer_rows, jobs_without_server


def two_files(folder: Path) -> JobFiles:
    job = jobs_without_server(folder)
    (folder / "in").mkdir()
    for name, first in (("a", 0), ("b", 6000)):
        frame = pl.DataFrame({"id": range(first, first + 6000), "text": texts(6000, first)})
        frame.write_parquet(folder / "in" / f"{name}.parquet")
    job.set(input={"path": "in"}, output={"path": "out"})
    return job


def test_rows_far_apart_are_read_alone_and_near_ones_together() -> None:
    assert spans_of([0, 1, 1 + NEAR, 3000, 5999, 6000, 6001 + NEAR]) == [
        Span(0, NEAR + 2), Span(3000, 3001), Span(5999, 6001), Span(6001 + NEAR, 6002 + NEAR),
    ]  # fmt: skip


def test_rows_that_are_asked_for_come_in_order_with_their_cells_and_answers(tmp_path: Path) -> None:
    files = two_files(tmp_path)
    answer_rows(files, [Reply("games", 0.5) if row % 2 else None for row in range(12_000)])
    wanted = [0, 5, 64, 4097, 5999, 6000, 11_999]
    with readable(files.config()) as job:
        parts = list(answered_rows(job, ["id"], only=wanted))
        every = sum(len(part.rows) for part in answered_rows(job))
        odd = [
            r
            for part in answered_rows(job, wanted=lambda rows, _: [r % 3000 == 1 for r in rows])
            for r in part.rows
        ]
    assert (len(parts), every, odd) == (1, 12_000, [1, 3001, 6001, 9001])
    assert list(parts[0].rows) == wanted
    assert list(parts[0].cells["id"]) == [str(row) for row in wanted]
    assert [answer is not None for answer in parts[0].answers] == [row % 2 == 1 for row in wanted]
    assert [text in texts(1, row) for text, row in zip(parts[0].prompts.texts, wanted, strict=True)] == [
        True
    ] * 7
