"""Which rows `review` shows, and why."""

import csv
from pathlib import Path

import polars as pl
import pytest

from pipeline.commands.review import review, save
from pipeline.errors import NoInputError
from pipeline.records import Status
from tests.jobs import command
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
        "sound is often unsure",
        "as sure as games usually is",
    ]
    assert (found.answered, found.failed, found.unsure, found.sure) == (4, 1, 1, 3)
    save(review(job.config(), 100), tmp_path / "review.csv")
    rows = list(csv.DictReader((tmp_path / "review.csv").read_text("utf-8-sig").splitlines()))
    assert [(row["id"], row["text"], row["label"]) for row in rows] == [
        ("c", "three", ""), ("b", "two", "sound"), ("a", "one", "games"), ("f", "'=six", "mail"),
    ]  # fmt: skip


@pytest.mark.slow
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


def test_why_a_row_is_there_is_told_by_how_sure_its_label_usually_is(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path, max_text_tokens=5)
    job.table(
        pl.DataFrame({"id": list("abcdef"), "text": [*"12345", "a text that is far too long to be read"]})
    )
    sure = [("games", 0.6), ("games", 0.9), ("games", 0.95), ("sound", 0.5), ("sound", 0.7), ("sound", 0.65)]
    answer_rows(job, [Reply(label, confidence) for label, confidence in sure])
    assert [(each.id, each.why) for each in review(job.config(), 4).rows] == [
        ("d", "sound usually has 65.0 %"),
        ("a", "games usually has 90.0 %"),
        ("f", "as sure as sound usually is; the text was cut"),
        ("e", "as sure as sound usually is"),
    ]


def test_what_is_the_same_for_all_rows_stands_above_the_table_once(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path)
    job.table(pl.DataFrame({"id": list("abc"), "text": ["one", "two", "three"]}))
    answer_rows(job, [Reply("games", 0.6), Reply("sound", 0.4), Reply("mail", 0.5)])
    shown = command("review", str(job.config_file())).stderr
    assert "To look at, all with status ok" in shown
    assert "status  " not in shown
