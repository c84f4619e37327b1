"""Drawing rows to label, and reading them back once a person has."""

import csv
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from pipeline.commands.evaluate import evaluate
from pipeline.commands.make_gold import make_gold
from pipeline.errors import CannotCreateError, NoInputError
from tests.jobs import JobFiles
from tests.judged import NO_REPLY, Reply, answer_rows, jobs_without_server, tickets


@pytest.fixture
def job(tmp_path: Path) -> JobFiles:
    """Three hundred tickets, of which the first ten have no answer."""
    frame, replies = tickets(300)
    job = jobs_without_server(tmp_path)
    job.table(frame)
    answer_rows(job, [NO_REPLY] * 10 + replies[10:])
    return job


def lines(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text("utf-8-sig").splitlines()))


def fill(path: str, labels: dict[str, str]) -> None:
    rows = [{**row, "label": labels.get(row["id"], "")} for row in lines(path)]
    with Path(path).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_the_file_asks_for_labels_and_does_not_tell_the_models(job: JobFiles) -> None:
    made = make_gold(job.config(), 50)
    rows = lines(made.file)
    assert (made.rows, made.of, len(rows)) == (50, 290, 50)
    assert list(rows[0]) == ["id", "text", "label"]
    assert {row["label"] for row in rows} == {""}
    assert min(row["id"] for row in rows) >= "T-00010"
    assert Path(made.file).parent == job.output.parent


def test_the_models_labels_are_told_where_asked_for(job: JobFiles) -> None:
    rows = lines(make_gold(job.config(), 60, show_labels=True).file)
    assert all(row["model"] for row in rows)
    assert min(Counter(row["model"] for row in rows).values()) >= 6, "half are spread evenly over the labels"


def test_what_a_person_filled_in_is_read_back_and_blanks_are_no_gold(job: JobFiles) -> None:
    made = make_gold(job.config(), 50)
    truth = dict(zip(*tickets(300)[0].select("id", "gold").get_columns(), strict=True))
    some = {row["id"]: truth[row["id"]] for row in lines(made.file)[:30]}
    fill(made.file, some)
    found = evaluate(job.config(), made.file)
    model = {f"T-{n:05}": reply.labels for n, reply in enumerate(tickets(300)[1])}
    assert (found.rows, found.right) == (30, sum(model[name] == label for name, label in some.items()))


def test_work_that_somebody_did_is_not_replaced(job: JobFiles) -> None:
    made = make_gold(job.config(), 20)
    make_gold(job.config(), 20, seed=1)
    fill(made.file, {lines(made.file)[3]["id"]: "games"})
    before = Path(made.file).read_bytes()
    with pytest.raises(CannotCreateError, match="1 of its rows are filled in"):
        make_gold(job.config(), 20)
    Path(made.file).with_name("notes.csv").write_text("my notes")
    with pytest.raises(CannotCreateError, match="no file of gold"):
        make_gold(job.config(), 20, Path(made.file).with_name("notes.csv"))
    assert Path(made.file).read_bytes() == before


def test_no_text_is_a_formula_to_a_spreadsheet_program_and_ids_stay_as_they_are(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path)
    job.table(pl.DataFrame({"id": ["-1"], "text": ['=HYPERLINK("http://x","y")']}))
    answer_rows(job, [Reply("games")])
    (row,) = lines(make_gold(job.config(), 5).file)
    assert (row["id"], row["text"]) == ("-1", '\'=HYPERLINK("http://x","y")')


def test_before_there_is_an_answer_nothing_is_drawn(tmp_path: Path) -> None:
    job = jobs_without_server(tmp_path)
    job.table(tickets(5)[0])
    with pytest.raises(NoInputError, match="no row has an answer"):
        make_gold(job.config(), 5)
