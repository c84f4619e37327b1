"""Which rows `review` shows, and why."""

import csv
from pathlib import Path

import polars as pl
import pytest

from pipeline.commands.review import review, save
from pipeline.errors import NoInputError
from pipeline.records import Status
from tests.judged import NO_REPLY, Reply, answer_rows, jobs_without_server, tickets


def test_failed_rows_come_first_then_the_least_sure(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path, unsure_below=0.5)
    job.table(pl.DataFrame({"id": list("abcdef"), "text": ["one", "two", "three", None, "five", "=six"]}))
    failed = Reply(status=Status.FILTERED)
    answer_rows(
        job, [Reply("games", 0.6), Reply("sound", 0.4), failed, NO_REPLY, NO_REPLY, Reply("mail", 0.9)]
    )
    found = review(job.config(), 3)
    assert [each.id for each in found.rows] == ["c", "b", "a"]
    assert [each.why for each in found.rows] == [
        "it failed",
        "less sure than task.unsure_below, 0.5",
        "among the least sure",
    ]
    assert (found.answered, found.failed, found.unsure, found.sure) == (4, 1, 1, 3)
    save(review(job.config(), 100), tmp_path / "review.csv")
    rows = list(csv.DictReader((tmp_path / "review.csv").read_text("utf-8-sig").splitlines()))
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [
        ("c", "three", ""), ("b", "two", "sound"), ("a", "one", "games"), ("f", "'=six", "mail"),
    ]  # fmt: skip


def test_the_least_sure_of_many_are_found(tmp_path: Path) -> None:
    frame, replies = tickets(1500)
    job = jobs_without_server(tmp_path)
    job.table(frame)
    answer_rows(job, [*replies])
    order = sorted(range(1500), key=lambda row: (replies[row].confidence or 0, row))
    assert [each.row for each in review(job.config(), 100).rows] == order[:100]


def test_before_there_is_an_answer_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path)
    job.table(tickets(3)[0])
    with pytest.raises(NoInputError):
        review(job.config())
